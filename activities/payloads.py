"""How messages become Temporal payloads: pydantic's JSON, as the SDK has it, with what it learns of types kept.

The SDK makes a converter for every workflow and every converter learns the types anew: some milliseconds of each
order. This one learns each type once per process. The wire is that of `temporalio.contrib.pydantic`.
"""

from __future__ import annotations

from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    JSONPlainPayloadConverter,
)

_JSON = PydanticJSONPlainPayloadConverter()


class MessageConverter(CompositePayloadConverter):
    """The SDK's own converters, with the one JSON converter of this process."""

    def __init__(self) -> None:
        usual = DefaultPayloadConverter.default_encoding_payload_converters
        super().__init__(*(_JSON if isinstance(each, JSONPlainPayloadConverter) else each for each in usual))


DATA_CONVERTER = DataConverter(payload_converter_class=MessageConverter)
"""What every client of ours is given."""
