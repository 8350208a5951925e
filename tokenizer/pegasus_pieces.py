"""A Pegasus's ``spiece.model`` with the ids that its models have.

They are not those of the file: `<pad>` and `</s>` stay in front, then come ids of pretraining
that no text has, and the file's other pieces are shifted by `offset`.
"""

from __future__ import annotations

from typing import Final

from sentencepiece import sentencepiece_model_pb2

from tokenizer.base import TokenizerError

OFFSET: Final = 103  # of all published models
_FRONT: Final = ("<pad>", "</s>")
_MASKS: Final = ("<mask_1>", "<mask_2>")


def pegasus_model(model: bytes, offset: int = OFFSET) -> bytes:
    """Return the SentencePiece model with a Pegasus's ids.

    Args:
      model: content of its ``spiece.model``.
      offset: the shift of the pieces after ``</s>``.

    Raises:
      TokenizerError: it is not a SentencePiece model that begins with ``<pad>`` and ``</s>``,
        or the offset leaves no room for Pegasus's own ids.
    """
    proto = sentencepiece_model_pb2.ModelProto()
    try:
        proto.ParseFromString(model)
    except Exception as error:  # protobuf's own, of several kinds
        raise TokenizerError(f"not a SentencePiece model: {error}") from None
    front = tuple(piece.piece for piece in proto.pieces[:2])
    if front != _FRONT or offset < len(_MASKS):
        raise TokenizerError(
            "this is not the SentencePiece model of a Pegasus. Expected: pieces that begin "
            f"with {', '.join(_FRONT)} and an offset of {len(_MASKS)} or more. Received: "
            f"{', '.join(map(repr, front))}, offset {offset}"
        )
    kept = list(proto.pieces)
    own = [*_MASKS, *(f"<unk_{i}>" for i in range(2, offset))][:offset]
    del proto.pieces[2:]
    for name in own:
        proto.pieces.add(piece=name, score=0.0, type=_control())
    proto.pieces.extend(kept[2:])
    proto.trainer_spec.unk_id += offset
    return bytes(proto.SerializeToString())


def _control() -> int:
    kinds = sentencepiece_model_pb2.ModelProto.SentencePiece
    return int(kinds.CONTROL)
