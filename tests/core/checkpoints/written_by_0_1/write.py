"""How the files beside this program were made, by version 0.1.0 as of commit a5a1e64.

    PYTHONPATH=src python write.py FOLDER

with the sources of that commit as `src`, torch 2.13.0 on the CPU. Each file is an untrained model
of one kind of starts with weights of a fixed seed; `outputs.json` holds what that version computed
with it. It does not run with later versions.
"""

import json
import sys
from pathlib import Path

import torch

STARTS = ("table", "codes", "pointer", "scan")
N_TOKENS = 12


def images() -> torch.Tensor:
    """One frame, (1, 1, 3, 32, 32) in [0, 1]."""
    rows, cols = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    channels = [(torch.sin(rows / (k + 2)) * torch.cos(cols / (k + 3)) + 1) / 2 for k in range(3)]
    return torch.stack(channels)[None, None]


def main(folder: Path) -> None:
    from rleseg_core.build import build_model, new_model
    from rleseg_core.checkpoint import save_checkpoint

    from rleseg_core.spec import MaskSpec, WindowSpec
    from rleseg_core.tokens import PRESETS

    outputs = {}
    for seed, starts in enumerate(STARTS):
        torch.manual_seed(seed)
        info = new_model(
            folder / f"{starts}.safetensors",
            size="test",
            scheme=PRESETS["lac"],
            mask_spec=MaskSpec(size=(8, 8), class_names=("a", "b")),
            window_spec=WindowSpec(patch=32, patch_stride=32),
            max_tokens=N_TOKENS,
            starts=starts,
            trunk_widths=(8, 8, 8, 8),
            encoder_dim=8,
            decoder_dim=8,
            encoder_ff=16,
            decoder_ff=16,
            cell_dim=8,
        )
        model = build_model(info).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
        weights = {name: value.half() for name, value in model.state_dict().items()}
        save_checkpoint(info, weights)
        model.load_state_dict({name: value.float() for name, value in weights.items()})
        with torch.inference_mode():
            memory = model.encode(images())
            cache = model.new_cache(memory, N_TOKENS)
            tokens, written, logits = torch.tensor([1]), [], []
            for _ in range(N_TOKENS):
                logits.append(model.step(tokens, cache)[0])
                tokens = logits[-1].argmax(-1, keepdim=True)
                written.append(int(tokens))
            outputs[starts] = {
                "tokens": written,
                "logits": [round(float(x), 5) for x in torch.stack(logits)[:, ::9].flatten()],
            }
            if memory.dense is not None:
                dense = model.dense_logits(memory)
                outputs[starts]["dense"] = [round(float(x), 5) for x in dense.flatten()[::7]]
    (folder / "outputs.json").write_text(json.dumps(outputs) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
