"""The indices of images as bytes, and back, exactly, in another process and on another machine.

A stream is, little-endian: 4 bytes, :data:`MAGIC`; 8 bytes that name the codec; 8 bytes, the seed of U; 8 bytes, the
seed of what the decoder draws for itself; 4 bytes, the number of images. Then frames of :data:`FRAME` images, the last
of what remains, each: 4 bytes, its number of 32-bit words; 4 bytes, the CRC-32 of the 32 bytes above, of the number of
its first image (4 bytes) and of its indices (4 bytes each); the words of a range coder, index by index, all images of
the frame for each.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from drcopt.errors import InputError
from drcopt.neural.index_model import TOTAL
from drcopt.neural.quantise import Quantiser, draw
from drcopt.support.check import require

if TYPE_CHECKING:
    from drcopt.neural.index_model import IndexModel

MAGIC = b"DRC1"
#: Images in a frame; the last has what remains.
FRAME = 2048
_HEADER, _FRAME = struct.Struct("<4s8sQQI"), struct.Struct("<II")


@dataclass(frozen=True)
class Header:
    """What stands before the frames."""

    codec: bytes
    dither_seed: int
    decoder_seed: int
    images: int


def pack(header: Header, index: NDArray[np.int64], model: IndexModel, quantiser: Quantiser, *, dithered: bool) -> bytes:
    """The stream of indices (n, d). ``dithered``: the model may use the U of ``header.dither_seed``."""
    start = _HEADER.pack(MAGIC, header.codec, header.dither_seed, header.decoder_seed, header.images)
    parts = [start]
    for first in range(0, len(index), FRAME):
        chunk = index[first : first + FRAME]
        words = _code(chunk, known_draws(header, first, chunk.shape, dithered), model, quantiser)
        parts.append(_FRAME.pack(len(words) // 4, _check(start, first, chunk)) + words)
    return b"".join(parts)


def unpack(
    data: bytes, codec: bytes, model: IndexModel, quantiser: Quantiser, dimensions: int, *, dithered: bool, most: int
) -> tuple[Header, NDArray[np.int64]]:
    """The header and the indices (n, d) of a stream.

    Raises
    ------
    InputError
        If the stream is damaged, of another codec, or of more than ``most`` images.
    """
    if len(data) < _HEADER.size or data[:4] != MAGIC:
        raise InputError(f"data must be a stream that a codec encoded; it begins with {data[:4]!r}. Pass one whole.")
    _, named, dither_seed, decoder_seed, images = _HEADER.unpack_from(data)
    header = Header(named, dither_seed, decoder_seed, images)
    if named != codec:
        raise InputError(
            f"data must be of this codec, {codec.hex()}; it is of codec {named.hex()}. Decode it with the one that "
            "encoded it."
        )
    if images > most:
        raise InputError(
            f"data must hold at most {most} images; it says {images}. Pass most={images} if you trust the file."
        )
    start, position = data[: _HEADER.size], _HEADER.size
    chunks: list[NDArray[np.int64]] = []
    for first in range(0, images, FRAME):
        shape = (min(FRAME, images - first), dimensions)
        if len(data) - position < _FRAME.size:
            raise _damaged(first, "it ends early")
        words, check = _FRAME.unpack_from(data, position)
        position += _FRAME.size
        coded = data[position : position + 4 * words]
        position += 4 * words
        if len(coded) < 4 * words:
            raise _damaged(first, "it ends early")
        chunk = _decode(coded, shape, known_draws(header, first, shape, dithered), model, quantiser)
        if chunk is None or _check(start, first, chunk) != check:
            raise _damaged(first, "its checksum is another")
        chunks.append(chunk)
    if position != len(data):
        raise _damaged(images, f"{len(data) - position} bytes follow its last frame")
    return header, np.concatenate(chunks) if chunks else np.zeros((0, dimensions), np.int64)


def _damaged(image: int, how: str) -> InputError:
    return InputError(f"data must be a whole stream; from image {image} on {how}. Copy or encode it again.")


def known_draws(header: Header, first: int, shape: tuple[int, ...], dithered: bool) -> NDArray[np.uint16]:
    """The dither numbers that both sides know."""
    images, dimensions = shape
    if dithered:
        return draw(header.dither_seed, first, images, dimensions)
    return np.full(shape, 2**15, np.uint16)  # U = 0, to within 2^-17 of a step


def _check(start: bytes, first: int, index: NDArray[np.int64]) -> int:
    return zlib.crc32(start + struct.pack("<I", first) + index.astype("<i4").tobytes())


def _code(index: NDArray[np.int64], draws: NDArray[np.uint16], model: IndexModel, quantiser: Quantiser) -> bytes:
    stream = require("constriction", "neural", "Coding").stream
    encoder, family = stream.queue.RangeEncoder(), stream.model.Categorical(perfect=False)
    known = quantiser.known(index, draws)
    for i in range(index.shape[1]):
        encoder.encode(index[:, i].astype(np.int32), family, _probabilities(model.counts(i, known, draws)))
    words: bytes = encoder.get_compressed().astype("<u4").tobytes()
    return words


def _decode(
    coded: bytes, shape: tuple[int, int], draws: NDArray[np.uint16], model: IndexModel, quantiser: Quantiser
) -> NDArray[np.int64] | None:
    """Indices, or None if no encoder wrote these words."""
    stream = require("constriction", "neural", "Decoding").stream
    decoder = stream.queue.RangeDecoder(np.frombuffer(coded, "<u4").astype(np.uint32))
    family = stream.model.Categorical(perfect=False)
    index, known = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for i in range(shape[1]):
        try:
            index[:, i] = decoder.decode(family, _probabilities(model.counts(i, known, draws)))
        except (AssertionError, ValueError, RuntimeError):
            return None
        known[:, i] = quantiser.known(index[:, i : i + 1], draws[:, i : i + 1])[:, 0]
    return index


def _probabilities(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Exact: counts are below 2^24 and their total is a power of two."""
    return (counts / TOTAL).astype(np.float32)
