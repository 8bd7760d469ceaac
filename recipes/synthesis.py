"""Chains of seed 003: from registered cases to a model that makes labelled ones.

chromogen train recipes/synthesis.py:phantom_brain --out RUN, then chromogen synthesize --model RUN -n 100 --out SET.
Every chain is `tuned`; each method's variant "thesis" has the published settings. Sizes and budgets are for two cores and an
hour or less a chain; the fields of every stage are flags: --stages.renderer.loop.steps 20000 --cases.size-px 240.
"""

from collections.abc import Mapping

from chromogen.data.cases import CaseSource
from chromogen.data.cases_reading import SliceRule
from chromogen.data.prepared import PreparedData
from chromogen.methods import classifier, detector, modality_translator, organ_reader, renderer, segmenter, structure_sampler
from chromogen.train.chain import Chain, Stage
from chromogen.train.prepare import Drawing
from chromogen.train.run import Loop

BATCH = 16


def loop(steps: int, seed: int = 0, batch_size: int = BATCH, ema: float = 0.0) -> Loop:
    return Loop(
        steps=steps, batch_size=batch_size, seed=seed, ema=ema, select="score", validation_images=32,
        log_every=20, save_every=200, validate_every=max(50, steps // 4),
    )  # fmt: skip


def stages(
    modalities: int, classes: int, size_px: int, steps: int, label: str = "segmentation", channels: int = 1, width: int = 16,
    latents: int = 128,
) -> Mapping[str, Stage]:  # fmt: skip
    """The published order: readers, translator, organ, structure, then the renderer that leans on all of them.

    `steps` is the renderer's budget; the others have shares of it. "check" is a reader of its own seed that guides nobody: it
    alone may say how well made labels can be read.
    """
    read = {"modalities": modalities, "channels": channels, "width": width}
    readers = {
        "segmentation": segmenter.Segmenter(**read, classes=classes),
        "category": classifier.Classifier(**read, classes=classes),
        "boxes": detector.Detector(**read, classes=max(1, classes - 1), size_px=size_px),
    }
    found: dict[str, Stage] = {"organ": Stage(organ_reader.OrganReader(width=max(8, width // 2)), loop(max(60, steps // 5)))}
    sampler = structure_sampler.StructureSampler(size_px=size_px, latents=latents, width=width, critic_width=width)
    found["structure"] = Stage(sampler, loop(steps), lent=("organ",))
    lent: tuple[str, ...] = ()
    if label in readers:
        found["reader"] = Stage(readers[label], loop(steps // 2))
        found["check"] = Stage(readers[label], loop(steps // 2, seed=1))
        lent = ("reader",)
    if modalities > 1:
        translator = modality_translator.ModalityTranslator(
            modalities=modalities, channels=channels, width=width, critic_width=width
        )
        found["translator"] = Stage(translator, loop(steps // 2, batch_size=8))
        lent = (*lent, "translator")
    drawer = renderer.Renderer(
        modalities=modalities, channels=channels, label=label, classes=max(2, classes), width=width, critic_width=width,  # type: ignore[arg-type]
        lines_from="sampler", pretrain_until=0.3,
    )  # fmt: skip
    found["renderer"] = Stage(drawer, loop(steps, batch_size=8, ema=0.99), lent=("organ", "structure", *lent))
    return found


def phantom_brain() -> Chain:
    """Four contrasts of phantom brains with lesions: `chromogen data anatomy brain -o brains -n 40 --slices 6 --size-px 64`."""
    return Chain(
        CaseSource("brains", size_px=64, slices=SliceRule(), licence="phantoms, no patient"),
        Drawing(lines_of="T1"),
        stages(modalities=4, classes=2, size_px=64, steps=400),
        title="phantom brains",
        data=PreparedData("", mirror=True),
    )
