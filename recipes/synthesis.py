"""Chains of seed 003: from registered cases to a model that makes labelled ones.

chromogen train recipes/synthesis.py:phantom_brain --out RUN, then chromogen synthesize --model RUN -n 100 --out SET.
Every chain is `tuned`; each method's variant "thesis" has the published settings. Sizes and budgets are for two cores and an
hour or less a chain; the fields of every stage are flags: --stages.renderer.loop.steps 20000 --cases.size-px 240.

Deviations from the source, in chains other than `thesis`
- Every renderer pre-trains (equation 18) and rehearses it; section 4.6: brain tumours and Tianchi's lungs have no pre-training.
- Lines of brains are drawn from T1, but `brats2015`'s, which has none; figure 6: from Flair.
- `retina` draws the observers' vessels and takes them for labels; section 5.6.2: lines extracted without labels are the labels.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from chromogen.data.cases.prepared import PreparedData
from chromogen.data.cases.reading import SliceRule
from chromogen.data.cases.source import CaseSource
from chromogen.methods import classifier, detector, modality_translator, organ_reader, renderer, segmenter, structure_sampler
from chromogen.structure.lines import PRESETS as LINES
from chromogen.structure.lines import LineMap
from chromogen.structure.organ import PRESETS as ORGANS
from chromogen.structure.organ import OrganMask
from chromogen.train.chain import Chain, Stage
from chromogen.train.prepare import Drawing
from chromogen.train.run import Loop

BATCH = 16
QUICK = replace(renderer.METHOD.optimizer, lr=2e-3)
QUICK_CRITIC = replace(renderer.METHOD.critic_optimizer, lr=1e-3)


def loop(steps: int, seed: int = 0, batch_size: int = BATCH, ema: float = 0.0, select: str = "score") -> Loop:
    return Loop(
        steps=steps, batch_size=batch_size, seed=seed, ema=ema, select=select, validation_images=32,
        log_every=20, save_every=200, validate_every=max(50, steps // 4),
    )  # fmt: skip


def stages(
    modalities: int, classes: int, size_px: int, steps: int, label: str = "segmentation", channels: int = 1, width: int = 16,
    latents: int = 128, lines_from: Literal["batch", "sampler"] = "sampler", structure_steps: int = 0,
) -> Mapping[str, Stage]:  # fmt: skip
    """The published order: readers, translator, organ, structure, then the renderer that leans on all of them.

    `steps` is the renderer's budget; the others have shares of it, or what `structure_steps` says. "check" is a reader of its
    own seed that guides nobody: it alone may say how well made labels can be read. Translations are asked for on a ring through
    the modalities, another at every step, not for all pairs at once: a third of the work where there are four. The renderer
    rehearses its pre-training to the end, at a weight that holds its own beside the critic: without, a few hundred steps teach
    it to draw one picture for all lines. Its last weights are kept: how well a reader finds labels says nothing of anatomy. The
    learning rates of both suit such short trainings; take a quarter for 20,000 steps.
    """
    read = {"modalities": modalities, "channels": channels, "width": width}
    readers = {
        "segmentation": segmenter.Segmenter(**read, classes=classes),
        "category": classifier.Classifier(**read, classes=classes),
        "boxes": detector.Detector(**read, classes=max(1, classes - 1), size_px=size_px),
    }
    found: dict[str, Stage] = {"organ": Stage(organ_reader.OrganReader(width=max(8, width // 2)), loop(max(60, steps // 5)))}
    sampler = structure_sampler.StructureSampler(size_px=size_px, latents=latents, width=width, critic_width=width)
    found["structure"] = Stage(sampler, loop(structure_steps or 2 * steps), lent=("organ",))
    lent: tuple[str, ...] = ()
    if label in readers:
        found["reader"] = Stage(readers[label], loop(steps // 2))
        found["check"] = Stage(readers[label], loop(steps // 2, seed=1))
        lent = ("reader",)
    if modalities > 1:
        translator = modality_translator.ModalityTranslator(
            modalities=modalities,
            channels=channels,
            width=width,
            critic_width=width,
            pairs="ring",
            weight_agreement=0.0,
            optimizer=QUICK,
            critic_optimizer=QUICK_CRITIC,
        )
        found["translator"] = Stage(translator, loop(steps // 2, batch_size=8))
        lent = (*lent, "translator")
    drawer = renderer.Renderer(
        modalities=modalities, channels=channels, label=label, classes=max(2, classes), width=width, critic_width=width,  # type: ignore[arg-type]
        lines_from=lines_from, pretrain_until=0.3, weight_rehearsal=20.0, weight_gan=1.0, pairs="ring", weight_agreement=0.0,
        optimizer=QUICK, critic_optimizer=QUICK_CRITIC,
    )  # fmt: skip
    found["renderer"] = Stage(drawer, loop(steps, batch_size=8, ema=0.99, select="last"), lent=("organ", "structure", *lent))
    return found


def phantoms(title: str, size_px: int, steps: int, width: int = 16, latents: int = 128, structure_steps: int = 0) -> Chain:
    """Four contrasts of phantom brains with lesions."""
    return Chain(
        CaseSource("brains", size_px=size_px, classes=("none", "lesion"), licence="phantoms, no patient"),
        Drawing(lines_of="T1"),
        stages(4, 2, size_px, steps, width=width, latents=latents, structure_steps=structure_steps),
        title=title,
        data=PreparedData("", mirror=True),
    )


def phantom_brain() -> Chain:
    """Phantom brains with lesions: `chromogen data anatomy brain -o brains -n 40 --slices 6 --size-px 64`."""
    return phantoms("phantom brains", size_px=64, steps=600)


def demo() -> Chain:
    """In a minute or two at 48 px, for `scripts/demo`: heads one can recognise; their lesions take longer."""
    return phantoms("phantom brains, demo", size_px=48, steps=120, width=8, latents=32, structure_steps=250)


def tiny() -> Chain:
    """In half a minute: what it makes looks like nothing, but every part of it is there."""
    return phantoms("phantom brains, tiny", size_px=32, steps=20, width=4, latents=16, structure_steps=200)


def open_ms() -> Chain:
    """Brain MRI in four modalities with lesions of multiple sclerosis (Lesjak 2017, CC BY): two patients, one held out."""
    return Chain(
        CaseSource("open_ms", size_px=64, slices=SliceRule(share=(0.3, 0.8)), shares=(2, 0, 1), licence="CC BY (Lesjak 2017)"),
        Drawing(lines_of="T1"),
        stages(modalities=4, classes=2, size_px=64, steps=600),
        title="open_ms",
        data=PreparedData("", mirror=True, balanced=True),
    )


def brats2015() -> Chain:
    """Brain tumours in two modalities (BRATS 2015, CC BY-NC-SA 3.0): two patients to train, two to validate, two to test."""
    return Chain(
        CaseSource(
            "brats2015",
            size_px=64,
            slices=SliceRule(first=55, last=104, every=2),
            licence="CC BY-NC-SA 3.0",
        ),
        Drawing(lines_of="FLAIR"),
        stages(modalities=2, classes=5, size_px=64, steps=600),
        title="brats2015",
        data=PreparedData("", mirror=True, balanced=True),
    )


def brats() -> Chain:
    """BraTS in four modalities at 64 px, for two cores: every second slice of the middle. Sets of 2023 and later have other
    classes: what does not fit is said before the first stage, with the flag."""
    return Chain(
        CaseSource("brats", layout="brats", size_px=64, slices=SliceRule(first=55, last=104, every=2)),
        Drawing(lines_of="T1"),
        stages(modalities=4, classes=5, size_px=64, steps=600),
        title="tumours in four modalities, 64 px",
        data=PreparedData("", mirror=True, balanced=True),
    )


def thesis() -> Chain:
    """BraTS in four modalities as published: 240 px, the author's constants of lines and organ, each method's variant "thesis".

    Slices 55 to 104 of each volume (section 3.1), batches of 1. Ours: 400,000 steps a stage, where the text has 200 epochs;
    a tenth of the patients to validate and a tenth to test, where it has a tenth to test. For a GPU and a week.
    Line maps are drawn at 512 px with 4096 numbers, from Flair (figure 6). Readers learn first and are frozen, as is the organ;
    nothing is pre-trained (section 4.6).
    """
    step = Loop(steps=400_000, batch_size=1, select="last", save_every=1000, validate_every=10_000, validation_images=64)
    ms = {"modalities": 4}
    drawer = replace(renderer.VARIANTS["thesis"], **ms, classes=5)
    return Chain(
        CaseSource("brats", layout="brats", size_px=240, slices=SliceRule(first=55, last=104)),
        Drawing(lines=LINES["brats"], organ=ORGANS["brats"], lines_of="FLAIR"),
        {
            "organ": Stage(organ_reader.VARIANTS["thesis"], step),
            "structure": Stage(structure_sampler.VARIANTS["thesis"], step, lent=("organ",)),
            "reader": Stage(replace(segmenter.VARIANTS["thesis"], **ms, classes=5), step),
            "check": Stage(replace(segmenter.VARIANTS["thesis"], **ms, classes=5), replace(step, seed=1)),
            "translator": Stage(replace(modality_translator.VARIANTS["thesis"], **ms), step),
            "renderer": Stage(drawer, step, lent=("organ", "structure", "reader", "translator")),
        },
        title="the settings of the thesis, 240 px",
    )


def retina() -> Chain:
    """Fundus photographs in colour (CHASE_DB1, CC BY 4.0); what is drawn is the tree of vessels, and it is the label."""
    return Chain(
        CaseSource("CHASE_DB1", size_px=128, colour="colour", shares=(0.7, 0.1, 0.2), licence="CC BY 4.0 (CHASE_DB1)"),
        Drawing(lines_are_label=True),
        stages(modalities=1, classes=2, size_px=128, steps=400, channels=3, lines_from="batch"),
        title="CHASE_DB1",
        data=PreparedData("", mirror=True),
    )


def finding_lungs() -> Chain:
    """Slices of lung CT at 64 px (Kaggle, Finding Lungs), without a label."""
    return Chain(
        CaseSource("finding_lungs/npy64", licence="MIT repository"),
        Drawing(organ=OrganMask(threshold=0.3), without_lesions=False),
        stages(modalities=1, classes=2, size_px=64, steps=600, label="none"),
        title="finding_lungs",
        data=PreparedData("", mirror=True),
    )


def xray() -> Chain:
    """Chest X-rays, normal or pneumonia (Kermany, CC BY 4.0); the class is the label, and the organ is all of the picture.
    Lines are drawn as normal images have them (section 4.2.1)."""
    found = stages(modalities=1, classes=2, size_px=64, steps=600, label="category")
    return Chain(
        CaseSource("xray", size_px=64, licence="CC BY 4.0 (Kermany)"),
        Drawing(lines=LineMap(density=0.12), whole_image=True),
        {**found, "structure": replace(found["structure"], only=("normal",))},
        title="chest X-ray",
        data=PreparedData("", balanced=True),
    )


def lung_pet_ct_dx() -> Chain:
    """CT slices with boxes around tumours (TCIA Lung-PET-CT-Dx, CC BY 4.0): one patient to train, one to test."""
    return Chain(
        CaseSource("lung_pet_ct_dx", size_px=64, neighbours=True, shares=(1, 0, 1), licence="CC BY 4.0 (Lung-PET-CT-Dx)"),
        Drawing(organ=OrganMask(threshold=0.3)),
        stages(modalities=1, classes=2, size_px=64, steps=400, label="boxes", channels=3),
        title="lung_pet_ct_dx",
        data=PreparedData("", mirror=True, balanced=True),
    )
