"""Phantom films as complete DX or CR objects with obviously invented patients."""

import hashlib
import subprocess
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

SYNTAX_FLAG = {"jpeg-ls": "--jpegls", "jpeg-2000": "--j2k", "jpeg-lossless": "--jpeg", "rle": "--rle", "explicit": None}
LOW, RANGE = 300, 3200  # film grey 0..1 in 12-bit pixel values; the window below undoes it


def uid(*words):
    """A fixed UID per name, so that the films can be made again byte for byte."""
    return "2.25." + str(int(hashlib.sha256(" ".join(words).encode()).hexdigest()[:31], 16))


def code(value, scheme, meaning):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def dataset(name, image, pixel_mm, modality, inverted, orientation=("A", "F"), bits=12):
    meta = FileMetaDataset()
    sop_class = DigitalXRayImageStorageForPresentation if modality == "DX" else ComputedRadiographyImageStorage
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, uid(name, "instance")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    d = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    d.SpecificCharacterSet = "ISO_IR 192"
    d.SOPClassUID, d.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    d.ImageType = ["DERIVED", "PRIMARY"]
    d.StudyDate = d.SeriesDate = d.AcquisitionDate = d.ContentDate = "20260105"
    d.StudyTime = d.SeriesTime = d.AcquisitionTime = d.ContentTime = "101500"
    d.AccessionNumber, d.StudyID = "DEMO0000", "DEMO"
    d.Modality = modality
    d.Manufacturer, d.ManufacturerModelName, d.DeviceSerialNumber = "Wetread sandbox", "Phantom generator", "0"
    d.SoftwareVersions = "1"
    d.InstitutionName = "Demo hospital (computer-generated films)"
    d.ReferringPhysicianName = ""
    d.StudyDescription = "Lumbar spine (phantom)"
    d.SeriesDescription = "L-spine lateral (phantom)"
    d.PatientName, d.PatientID = "Phantom^Lumbar", "PHANTOM"
    d.PatientBirthDate, d.PatientSex = "19600101", "O"
    d.StudyInstanceUID, d.SeriesInstanceUID = uid(name, "study"), uid(name, "series")
    d.SeriesNumber, d.InstanceNumber = 1, 1
    d.BodyPartExamined, d.ViewPosition = "LSPINE", "LL"
    d.KVP = "85"
    d.PatientOrientation = list(orientation)
    spacing = [f"{pixel_mm:.5f}"] * 2
    d.ImagerPixelSpacing, d.PixelSpacing = spacing, spacing
    d.PixelSpacingCalibrationType, d.PixelSpacingCalibrationDescription = (
        "GEOMETRY",
        "Exact: the film is computed in the plane of the spine",
    )
    if modality == "DX":
        presentation(d)
    else:
        d.PlateID = ""
    d.BurnedInAnnotation = "NO"
    d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME1" if inverted else "MONOCHROME2"
    d.Rows, d.Columns = image.shape
    d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 16 if bits > 8 else 8, bits, bits - 1, 0
    top = 2**bits - 1
    low, width = (LOW, RANGE) if bits == 12 else (0, top)
    pixels = np.round(low + width * np.clip(image, 0, 1)).astype(np.uint16)
    if inverted:
        pixels = top - pixels
    centre = low + width / 2
    d.WindowCenter, d.WindowWidth = f"{top - centre if inverted else centre:g}", f"{width}"
    data = pixels.astype("<u2" if bits > 8 else "u1").tobytes()
    d.PixelData = data + b"\0" * (len(data) % 2)
    return d


def presentation(d):
    """What the DX object demands beyond CR."""
    d.PresentationIntentType = "FOR PRESENTATION"
    d.ImageLaterality = "U"
    d.AnatomicRegionSequence = Sequence([code("122496007", "SCT", "Lumbar spine")])
    d.ViewCodeSequence = Sequence([code("399198007", "SCT", "Right lateral projection")])
    d.ViewCodeSequence[0].ViewModifierCodeSequence = Sequence([])
    d.AcquisitionContextSequence = Sequence([])
    d.DetectorType, d.DetectorID = "DIRECT", "PHANTOM"
    d.PositionerType = "NONE"
    d.PixelIntensityRelationship, d.PixelIntensityRelationshipSign = "LOG", -1
    d.RescaleIntercept, d.RescaleSlope, d.RescaleType = "0", "1", "US"
    d.PresentationLUTShape = "IDENTITY"
    d.LossyImageCompression = "00"
    d.BurnedInAnnotation = "NO"


def write(d, path, syntax):
    """Save, then let GDCM encode the pixels; the demo films thereby come from another codec than the service's own."""
    raw = Path(path).with_suffix(".raw")
    if d.PhotometricInterpretation == "MONOCHROME1" and "PresentationLUTShape" in d:
        d.PresentationLUTShape, d.PixelIntensityRelationshipSign = "INVERSE", 1
    d.save_as(raw, enforce_file_format=True)
    flag = SYNTAX_FLAG[syntax]
    if flag is None:
        raw.replace(path)
        return
    subprocess.run(["gdcmconv", flag, str(raw), str(path)], check=True)
    raw.unlink()


def truncate_codestream(source, path):
    """Cut an encapsulated frame in half: the outer DICOM stays well-formed, decoding must fail."""
    import pydicom
    from pydicom.encaps import encapsulate, generate_fragments

    d = pydicom.dcmread(source)
    stream = b"".join(list(generate_fragments(d.PixelData))[1:])
    half = stream[: len(stream) // 4 * 2]
    d.PixelData = encapsulate([half])
    d["PixelData"].is_undefined_length = True
    d.SOPInstanceUID = d.file_meta.MediaStorageSOPInstanceUID = uid("corrupt", "instance")
    d.SeriesInstanceUID, d.StudyInstanceUID = uid("corrupt", "series"), uid("corrupt", "study")
    d.save_as(path, enforce_file_format=True)
