"""Reads HL7 messages with python-hl7 and checks acknowledgements with hl7apy; JSON in, JSON out."""
import json
import sys

import hl7
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message


def read(text):
    message = hl7.parse(text)
    segments = []
    for segment in message:
        name = str(segment[0])
        fields = []
        # python-hl7 counts MSH as the standard does: MSH-1 is the separator, MSH-2 the others.
        for number in range(1, len(segment)):
            field = segment[number]
            if name == "MSH" and number < 3:
                fields.append([[[str(field)]]])
                continue
            fields.append([repetition(message, one) for one in field])
        segments.append({"name": name, "fields": fields})
    return segments


def repetition(message, one):
    if not isinstance(one, hl7.Repetition):
        return [[message.unescape(str(one))]]
    # What was not split any further is a plain string.
    return [
        [message.unescape(component)] if isinstance(component, str) else [message.unescape(str(sub)) for sub in component]
        for component in one
    ]


def validate(text):
    try:
        return "ok" if parse_message(text, validation_level=VALIDATION_LEVEL.STRICT).validate() else "not valid"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


given = json.load(sys.stdin)
json.dump({"read": [read(text) for text in given["read"]], "validate": [validate(text) for text in given["validate"]]}, sys.stdout)
