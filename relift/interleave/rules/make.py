"""A rule of a configuration: one that comes with relift, or one's own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from relift.config import (
    EveryKRuleConfig,
    GuidedRuleConfig,
    InsertRuleConfig,
    InterventionRuleConfig,
    MixedRuleConfig,
    PluginConfig,
    RandomRuleConfig,
    ReliftRuleConfig,
    RunConfig,
    Section,
    SelfDistilRuleConfig,
    SwitchRuleConfig,
    ZppoRuleConfig,
)
from relift.config.plugin import Plugin, load_plugin
from relift.errors import ConfigError
from relift.interleave.rule import Rule, state_of
from relift.interleave.rules.every_k import EveryKRule
from relift.interleave.rules.guided import GuidedRule
from relift.interleave.rules.insert import InsertRule
from relift.interleave.rules.intervention import InterventionRule
from relift.interleave.rules.mixed import MixedRule
from relift.interleave.rules.random import RandomRule
from relift.interleave.rules.relift import ReliftRule
from relift.interleave.rules.self_distil import SelfDistilRule
from relift.interleave.rules.switch import SwitchRule
from relift.interleave.rules.zppo import ZppoRule
from relift.interleave.steps import step_mark
from relift.records import Purpose

log = logging.getLogger(__name__)
RULES: Mapping[type[Section], Callable[[Any], Rule]] = {
    ReliftRuleConfig: ReliftRule,
    RandomRuleConfig: RandomRule,
    EveryKRuleConfig: EveryKRule,
    SwitchRuleConfig: SwitchRule,
    InsertRuleConfig: InsertRule,
    MixedRuleConfig: MixedRule,
    ZppoRuleConfig: ZppoRule,
    SelfDistilRuleConfig: SelfDistilRule,
}
"""Those that come with relift, by their settings; a rule that cuts solutions into steps is made with their mark too."""


def make_rule(config: RunConfig) -> Rule:
    """The rule of a configuration; those of relift teach nothing without the update they teach by: plain GRPO.

    Raises ConfigError for one's own that cannot be loaded or takes other settings.
    """
    setting = config.teach.rule
    if isinstance(setting, PluginConfig):
        return _made(_loaded(setting), setting)
    if not config.teaches:
        return Rule()
    if isinstance(setting, InterventionRuleConfig):
        mark = step_mark(config.questions.answer_form)
        if config.questions.answer_form != "equals" and "dataset" in config.teacher.sources:
            log.warning(
                "teach.rule.kind=intervention compares steps of demonstrations and rollouts as texts: in prose they "
                "agree in nothing, and then the first line is all that is taught of a demonstration. Each iteration "
                "says of how many that is so"
            )
        return InterventionRule(setting, mark, shows_mistakes="api" in config.teacher.sources)
    if isinstance(setting, GuidedRuleConfig):
        return GuidedRule(setting, form=config.questions.answer_form)
    return RULES[type(setting)](setting)


def require_rule(config: RunConfig) -> dict[str, str]:
    """Digest by name of the rule's source, none for relift's own. Raises ConfigError for one that cannot be used."""
    setting = config.teach.rule
    if not isinstance(setting, PluginConfig):
        return {}
    plugin = _loaded(setting)
    rule = _made(plugin, setting)
    if config.sft is None and type(rule).batches is not Rule.batches:
        raise ConfigError(
            f"teach.rule.kind={setting.kind!r} has batches for the supervised update, which sft='off' switches off: it "
            f"would ask teachers for nothing. Leave sft=off out, or set teach.rule.kind=relift too for plain GRPO."
        )
    of_rl = [name for name in ("prompts", "groups") if getattr(type(rule), name) is not getattr(Rule, name)]
    if config.rl is None and of_rl:
        raise ConfigError(
            f"teach.rule.kind={setting.kind!r} has {' and '.join(of_rl)} for the RL update, which rl='off' switches "
            f"off: nothing would come of them. Leave rl=off out, or take a rule that has batches alone."
        )
    if rule.trial_purpose not in (Purpose.PREFIX_SEARCH, Purpose.CONTINUATION, Purpose.IN_VIEW):
        raise ConfigError(
            f"teach.rule.kind={setting.kind!r} has trial_purpose={rule.trial_purpose!r}: its trials would count as "
            f"something else. Leave it as it is, or set it to Purpose.CONTINUATION or Purpose.IN_VIEW."
        )
    again = _made(plugin, setting)
    again.restore(state_of(rule, setting.kind))
    state_of(again, setting.kind)
    return {f"teach.rule {plugin.path}": plugin.sha256}


def _loaded(setting: PluginConfig) -> Plugin:
    plugin = load_plugin(setting.kind, kind="rule", key="teach.rule", settings=setting.settings)
    if not (isinstance(plugin.target, type) and issubclass(plugin.target, Rule)):
        raise ConfigError(
            f"teach.rule.kind={setting.kind!r} is no rule: a rule is a subclass of relift.interleave.Rule, which says "
            f"what it may answer and defaults to nothing"
        )
    return plugin


def _made(plugin: Plugin, setting: PluginConfig) -> Rule:
    try:
        made: Rule = plugin()
    except Exception as problem:
        raise ConfigError(
            f"teach.rule.kind={setting.kind!r} cannot be made with {dict(setting.settings)}: "
            f"{type(problem).__name__}: {problem}"
        ) from problem
    return made
