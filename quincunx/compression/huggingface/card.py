"""The page that travels with a quantized model."""

from __future__ import annotations

from typing import Any

from quincunx.compression.report import Report

__all__ = ["card"]


def card(checkpoint: Any, report: Report) -> str:
    """Write README.md: what was done, and how to load the model.

    Arguments:
        checkpoint: of the original.
        report: of the job.
    """
    name, recipe = checkpoint.folder.resolve().name, report.recipe["name"]
    words = report.calibration
    return f"""---
library_name: transformers
tags: [quincunx, {recipe}, quantized]
---

# {name}, {report.bits_per_weight:.2f} bits a weight

The linear layers of the decoder blocks of *{name}*, compressed by
[quincunx](https://pypi.org/project/quincunx/) with the recipe `{recipe}`. Embeddings, norms and the
head are as they were.

```python
import quincunx

model, tokenizer = quincunx.load("FOLDER")
```

or, with `import quincunx.compression.huggingface` first,
`transformers.AutoModelForCausalLM.from_pretrained("FOLDER")`. Install with
`pip install 'quincunx[compression]'`; nothing in this folder is executed.

| | |
| --- | --- |
| weights compressed | {report.weights:,} |
| bits a weight, all counted | {report.bits_per_weight:.3f} |
| mean relative error of layers' outputs | {report.relative_loss:.4f} |
| calibrated on | {words["source"]}, {words["samples"]} x {words["context"]} tokens |

`quincunx-report.json` has the figures of each layer.
"""
