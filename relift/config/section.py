"""What every section of the tree is: frozen, strict, and readable as a form."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, JsonValue
from pydantic_core import CoreSchema

MAY_CHANGE: dict[str, JsonValue] = {"may_change": True}
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Frozen, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /) -> dict[str, Any]:
        """The form in the Prefect UI shows descriptions alone, so these say the range and what may change."""
        tree = handler(core_schema)
        for field in handler.resolve_ref_schema(tree).get("properties", {}).values():
            if "oneOf" in field:  # a union by kind: what leaves the kind out may fit several, and Prefect counts them
                field["anyOf"] = field.pop("oneOf")
            said = [field.get("description", ""), _range_of(field)]
            if field.get("may_change"):
                said.append("May change when a run is resumed.")
            if text := " ".join(filter(None, said)):
                field["description"] = text
        return tree


def _range_of(field: dict[str, Any]) -> str:
    """In words, such as "Above 0, at most 1."; empty where there is no bound."""
    bounds = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    for tree in (field, *field.get("anyOf", ())):
        if said := ", ".join(f"{word} {tree[key]:g}" for key, word in bounds.items() if key in tree):
            return said.capitalize() + "."
    return ""


def none_if_off(value: Any) -> Any:
    return None if value == "off" else value
