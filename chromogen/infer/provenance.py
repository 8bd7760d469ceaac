"""PNG and TIFF files that say what they are: synthetic, from which model and which pixels, for research use only.

The record travels twice inside the file: as PNG text or as JSON in TIFF's ImageDescription, which any image tool shows, and as
XMP with the IPTC term for images made by a trained model, which newsrooms, archives and browsers read. It holds no path, name
or time of the source file, and of its metadata only the um per pixel: the same pixels at the same resolution and the same model
give the same bytes.
"""

import hashlib
import json
import struct
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo

import chromogen
from chromogen.data.formats.resolution import UM_OF_CM, UM_OF_INCH
from chromogen.data.images import is_tiff
from chromogen.files import written_whole
from chromogen.infer.stainer import Stainer
from chromogen.tensors import Uint8Image

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
XMP_KEY = "XML:com.adobe.xmp"  # the PNG keyword that XMP part 3 prescribes
XMP_TAG = 700  # of TIFF, by the same
TIFF_SUFFIXES = (".tif", ".tiff")
COMPRESSION = 3  # of 1-9; on real IHC a third of the time of 6, and files 4 % larger

Record = dict[str, str]

_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/">
   <Iptc4xmpExt:DigitalSourceType>{source_type}</Iptc4xmpExt:DigitalSourceType>
   <xmp:CreatorTool>{software}</xmp:CreatorTool>
   <dc:description><rdf:Alt><rdf:li xml:lang="x-default">{description}</rdf:li></rdf:Alt></dc:description>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


def describe(stainer: Stainer, source: Uint8Image, mpp: float | None = None) -> Record:
    """What a virtual stain of `source` must say about itself; `mpp` is the um per pixel that the source's file states."""
    model = stainer.model
    resolution = {} if mpp is None else {"MicrometresPerPixel": f"{mpp:.6g}"}
    return {
        "Software": f"chromogen {chromogen.__version__}",
        "Synthetic": "true",
        "DigitalSourceType": SOURCE_TYPE,
        "SourceStain": model.card.source_stain,
        "TargetStain": f"virtual {model.card.target_stain}",
        "Model": model.name,
        "ModelSHA256": model.sha256,
        "Precision": stainer.prepared.precision,
        "SourceSHA256": pixels_sha256(source),
        "DataLicence": model.card.data_licence,
        "Disclaimer": model.card.intended_use,
        **resolution,
    }


def pixels_sha256(image: Uint8Image) -> str:
    """SHA-256 of the height and width as little-endian 64-bit integers, then the RGB bytes row by row."""
    digest = hashlib.sha256(np.array(image.shape[:2], "<i8").tobytes())
    for row in image:
        digest.update(row.tobytes())
    return digest.hexdigest()


def write_stain(path: Path, image: Uint8Image, record: Record, mpp: float | None = None) -> None:
    """Write a PNG, or a TIFF where `path` is called .tif or .tiff. Errors are those of `write_png`."""
    write = write_tiff if path.suffix.lower() in TIFF_SUFFIXES else write_png
    write(path, image, record, mpp)


def write_png(path: Path, image: Uint8Image, record: Record, mpp: float | None = None) -> None:
    """Write `image` with `record` inside, whole or not at all; `mpp` as pHYs. OSError, with the cure, when the disk is full."""
    text = PngInfo()
    for key, value in record.items():
        text.add_itxt(key, value)
    text.add_itxt(XMP_KEY, _xmp(record))
    dpi = {} if mpp is None else {"dpi": (UM_OF_INCH / mpp, UM_OF_INCH / mpp)}
    with written_whole(path) as partial:
        Image.fromarray(image).save(partial, format="PNG", pnginfo=text, compress_level=COMPRESSION, **dpi)


def write_tiff(path: Path, image: Uint8Image, record: Record, mpp: float | None = None) -> None:
    """Write `image` losslessly with `record` inside, whole or not at all; `mpp` as XResolution and YResolution in cm."""
    packet = _xmp(record).encode("utf-8")
    with written_whole(path) as partial:
        tifffile.imwrite(
            partial,
            image,
            ome=False,
            photometric="rgb",
            compression="zlib",
            predictor=True,
            description=json.dumps(record),
            software=record["Software"],
            metadata=None,
            extratags=[(XMP_TAG, 1, len(packet), packet, True)],
            resolution=None if mpp is None else (UM_OF_CM / mpp, UM_OF_CM / mpp),
            resolutionunit=None if mpp is None else "CENTIMETER",
        )


def read_provenance(path: Path) -> Record:
    """The record inside a file that `write_stain` made; ValueError for any other file, OSError when it does not open."""
    path = Path(path)
    record, packet = _in_tiff(path) if is_tiff(path) else _in_png(path)
    if record.get("Synthetic") != "true" or SOURCE_TYPE not in packet:
        raise ValueError(f"{path} does not say that chromogen made it; its provenance is unknown")
    return record


def _xmp(record: Record) -> str:
    description = f"Synthetic: {record['TargetStain']} computed from {record['SourceStain']}. {record['Disclaimer']}"
    return _XMP.format(source_type=SOURCE_TYPE, software=escape(record["Software"]), description=escape(description))


def _in_png(path: Path) -> tuple[Record, str]:
    with path.open("rb") as handle:
        try:
            info = PngImageFile(handle).info
        except (SyntaxError, OSError, ValueError) as error:
            raise ValueError(f"{path} is not a whole PNG file, so it holds no provenance ({error})") from error
    text = {str(key): str(value) for key, value in info.items() if isinstance(value, str)}
    return text, text.pop(XMP_KEY, "")


def _in_tiff(path: Path) -> tuple[Record, str]:
    try:
        with tifffile.TiffFile(path) as file:
            tags = file.pages.first.tags
            packet, found = tags.valueof(XMP_TAG, b""), json.loads(tags.valueof(270, ""))
    except (tifffile.TiffFileError, ValueError, TypeError, LookupError, struct.error):
        return {}, ""
    record = {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
    return record, packet.decode("utf-8", "replace") if isinstance(packet, bytes) else ""
