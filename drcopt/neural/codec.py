"""A trained codec: images to bytes, and bytes to restored images."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from drcopt.errors import CheckpointError, InputError
from drcopt.neural import bitstream, nets, store
from drcopt.neural.config import Settings, Task
from drcopt.neural.index_model import IndexModel
from drcopt.neural.quantise import DITHER_BITS, Quantiser, draw
from drcopt.sources._arguments import whole
from drcopt.support.check import shown

#: Images that pass through a net at a time. Part of what a decoded image is: other batches may round otherwise.
_BATCH = 500
#: :meth:`Codec.decode` refuses more images than this unless told otherwise.
MOST_IMAGES = 100_000
_MOST_SEED = 2**64 - 1

FloatImages = NDArray[np.float32]


@dataclass(frozen=True)
class Bits:
    """Bits an image, three ways.

    Attributes
    ----------
    ideal : float
        -log2 of the probability that the index model gives the indices (given U, where it is shared).
    coded : float
        In the file: eight times its bytes, headers and checksums included.
    common_randomness : float
        Of those, the seed of U, which any number of images share; 0 where nothing is shared.
    dither : float
        What that seed stands for: the bits of U itself.
    """

    ideal: float
    coded: float
    common_randomness: float
    dither: float


class Codec:
    """Encoder, quantiser, decoder and index model, with what they were trained to do.

    :func:`drcopt.neural.train` makes one and :meth:`load` reads one.

    Attributes
    ----------
    task : Task
    settings : Settings
    shape : tuple of int
        Channels, height and width of an image.
    facts : dict
        What training recorded: seconds, data_sha256, validation measures, versions.
    """

    def __init__(
        self,
        task: Task,
        settings: Settings,
        shape: tuple[int, int, int],
        encoder: nn.Module,
        decoder: nn.Module,
        index_model: IndexModel | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self.task, self.settings, self.shape = task, settings, shape
        self.encoder, self.decoder = encoder, decoder
        self.quantiser = Quantiser(settings.levels)
        self.index_model = index_model
        self.facts = dict(facts or {})

    @classmethod
    def fresh(cls, task: Task, settings: Settings, shape: tuple[int, int, int]) -> Self:
        """Untrained, with the weights of ``settings.seed``."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            encoder, decoder = nets.encoder(shape, settings), nets.decoder(shape, settings)
        return cls(task, settings, shape, encoder.to(settings.device), decoder.to(settings.device))

    def encode(self, images: ArrayLike | Tensor, *, seed: int = 0, decoder_seed: int = 0) -> bytes:
        """Degraded images (n, c, h, w), or (n, h, w) if grey, as a bit-stream.

        Parameters
        ----------
        images : array
            uint8, or floats with 1 for white.
        seed : int
            Of U, below 2^64; it is stored.
        decoder_seed : int
            Of what the decoder draws for itself, where it does; it is stored.

        Raises
        ------
        InputError
            If the images are of another shape or type.
        """
        seed, decoder_seed = (whole(name, value, 0, _MOST_SEED) for name, value in
                              (("seed", seed), ("decoder_seed", decoder_seed)))  # fmt: skip
        index = self.index(images, seed=seed)
        header = bitstream.Header(self.identity, seed, decoder_seed, len(index))
        return bitstream.pack(header, index, self._model(), self.quantiser, dithered=self._shared)

    def decode(self, data: bytes, *, most: int = MOST_IMAGES) -> FloatImages:
        """The restored images (n, c, h, w), in [0, 1], of a stream that :meth:`encode` wrote.

        The indices are those that were encoded, on any machine, or an error is raised. The images that the nets make of
        them are equal on equal machines; elsewhere they differ by the rounding of float32.

        Raises
        ------
        InputError
            If the stream is damaged, of another codec, or of more than ``most`` images.
        """
        data = bytes(data)
        header, index = bitstream.unpack(
            data, self.identity, self._model(), self.quantiser, self.settings.dimensions,
            dithered=self._shared, most=most,
        )  # fmt: skip
        return self.reconstruct(index, seed=header.dither_seed, decoder_seed=header.decoder_seed)

    def restore(self, images: ArrayLike | Tensor, *, seed: int = 0, decoder_seed: int = 0) -> FloatImages:
        """What :meth:`decode` gives for what :meth:`encode` gives, without the bytes between."""
        return self.reconstruct(self.index(images, seed=seed), seed=seed, decoder_seed=decoder_seed)

    def bits(self, images: ArrayLike | Tensor, *, seed: int = 0) -> Bits:
        """The rate of these images, coded, decoded and compared, three ways."""
        index = self.index(images, seed=seed)
        data = self.encode(images, seed=seed)
        _, decoded = bitstream.unpack(
            data, self.identity, self._model(), self.quantiser, self.settings.dimensions,
            dithered=self._shared, most=len(index),
        )  # fmt: skip
        if not np.array_equal(index, decoded):
            raise AssertionError("a stream did not decode to what was encoded")
        count = max(len(index), 1)
        draws = self._draws(seed, len(index))
        ideal = float(self._model().bits(self.quantiser, index, draws).sum()) / count
        shared = self._shared
        return Bits(
            ideal, 8 * len(data) / count, 64 / count * shared, float(DITHER_BITS * self.settings.dimensions * shared)
        )

    def index(self, images: ArrayLike | Tensor, *, seed: int = 0) -> NDArray[np.int64]:
        """Indices (n, d) in 0 … levels - 1."""
        tensor = self._images(images)
        if self.settings.common_randomness == "none":
            dither = None
        else:
            dither = self.quantiser.dither(draw(seed, 0, len(tensor), self.settings.dimensions))

        def run(part: slice) -> Tensor:
            code: Tensor = self.encoder(tensor[part].to(self.settings.device)).float().cpu()
            return self.quantiser.index(code if dither is None else code + dither[part])

        return self._batched(run, len(tensor), (self.settings.dimensions,)).astype(np.int64)

    def reconstruct(self, index: NDArray[np.int64], *, seed: int = 0, decoder_seed: int = 0) -> FloatImages:
        """Restored images of indices (n, d)."""
        d = self.settings.dimensions
        code = self.quantiser.centre(torch.from_numpy(index)).float()
        if self.settings.common_randomness == "none":
            # 16-bit uniform numbers to Gaussian ones: the same on every machine, to rounding.
            uniform = torch.from_numpy((draw(decoder_seed, 0, len(index), d) + 0.5) / 2**16)
            code = torch.cat([code, torch.special.ndtri(uniform).float()], 1)
        else:
            own = self.settings.common_randomness == "independent"
            # One more, or a decoder seed equal to the encoder's would share after all.
            key = (decoder_seed ^ 0x9E3779B97F4A7C15) if own else seed
            code = code - self.quantiser.dither(draw(key, 0, len(index), d))

        def run(part: slice) -> Tensor:
            image: Tensor = self.decoder(code[part].to(self.settings.device)).float().cpu()
            return image

        return self._batched(run, len(index), self.shape).astype(np.float32)

    @property
    def identity(self) -> bytes:
        """Eight bytes that name the code: a hash of settings, encoder, decoder and index model."""
        digest = hashlib.sha256(repr((self.task, self.settings, self.shape)).encode())
        for name, array in sorted(self._arrays().items()):
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return digest.digest()[:8]

    def save(self, path: str | os.PathLike[str], extra: Mapping[str, NDArray[Any]] | None = None) -> None:
        """Write everything to a file that :meth:`load` reads: weights, integer tables, settings, facts."""
        meta = {
            "kind": "codec",
            "task": asdict(self.task),
            "settings": asdict(self.settings),
            "shape": list(self.shape),
            "facts": self.facts,
        }
        store.write(path, {**self._arrays(), **(extra or {})}, meta)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, device: str = "cpu") -> Self:
        """The codec of a file that :meth:`save` wrote. Nothing in the file is executed.

        Raises
        ------
        CheckpointError
            If it is not such a file, or damaged.
        """
        arrays, meta = store.read(path)
        return cls.of(arrays, meta, str(path), device=device)

    @classmethod
    def of(cls, arrays: store.Arrays, meta: Mapping[str, Any], where: str, *, device: str = "cpu") -> Self:
        """As :meth:`load`, from a file's content."""
        try:
            task, settings = Task(**meta["task"]), Settings(**{**meta["settings"], "device": device})
            channels, height, width = (whole("shape", n, 1, 4096) for n in meta["shape"])
            shape = (channels, height, width)
            with torch.device("meta"):  # nets without numbers: they take the file's, or none
                encoder, decoder = nets.encoder(shape, settings), nets.decoder(shape, settings)
            load_net(encoder, arrays, "encoder")
            load_net(decoder, arrays, "decoder")
            model, facts = IndexModel.of(arrays), dict(meta["facts"])
            codec = cls(task, settings, shape, encoder.to(device), decoder.to(device), model, facts)
            if model.second_bias.shape != (settings.dimensions, settings.levels):
                raise ValueError("its index model is of another code")
        except CheckpointError as reason:
            raise CheckpointError(f"{where}: {reason}") from None
        except (KeyError, TypeError, ValueError, RuntimeError) as reason:  # InputError is a ValueError
            raise CheckpointError(
                f"{where} must hold a codec; it does not ({shown(str(reason))}). Use a file that a codec saved."
            ) from None
        codec.encoder.eval()
        codec.decoder.eval()
        return codec

    @property
    def _shared(self) -> bool:
        return self.settings.common_randomness == "shared"

    def _draws(self, seed: int, images: int) -> NDArray[np.uint16]:
        """What the index model is told of U."""
        header = bitstream.Header(b"", seed, 0, images)
        return bitstream.known_draws(header, 0, (images, self.settings.dimensions), self._shared)

    def _model(self) -> IndexModel:
        if self.index_model is None:
            raise InputError("the codec must be trained before it can code; it has no index model. Use train().")
        return self.index_model

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays = {**net_arrays(self.encoder, "encoder"), **net_arrays(self.decoder, "decoder")}
        return arrays if self.index_model is None else {**arrays, **self.index_model.arrays()}

    def _images(self, images: ArrayLike | Tensor) -> Tensor:
        try:
            tensor = images if isinstance(images, Tensor) else torch.from_numpy(np.array(images))
        except (TypeError, ValueError) as reason:
            raise InputError(f"images must be an array of numbers; they are not ({reason}). Pass one array.") from None
        if tensor.ndim == 3 and self.shape[0] == 1:
            tensor = tensor[:, None]
        if tensor.shape[1:] != self.shape or tensor.ndim != 4:
            raise InputError(
                f"images must have shape (n, {', '.join(map(str, self.shape))}); they have {tuple(tensor.shape)}. "
                "Pass images of the size that the codec was trained on, channels first."
            )
        if not (tensor.dtype == torch.uint8 or tensor.is_floating_point()):
            raise InputError(f"images must be uint8 or floats; they are {tensor.dtype}. Convert them.")
        floats = tensor.float() / 255 if tensor.dtype == torch.uint8 else tensor.float()
        if not bool(torch.isfinite(floats).all()):
            raise InputError("images must be finite; some pixel is not. Replace it.")
        return floats

    def _batched(self, run: Callable[[slice], Tensor], count: int, shape: tuple[int, ...]) -> NDArray[Any]:
        training = self.encoder.training, self.decoder.training
        self.encoder.eval(), self.decoder.eval()
        with torch.no_grad(), threads(self.settings.threads):
            parts = [run(slice(first, first + _BATCH)).numpy() for first in range(0, count, _BATCH)]
        self.encoder.train(training[0]), self.decoder.train(training[1])
        return np.concatenate(parts) if parts else np.zeros((0, *shape))


@contextmanager
def threads(count: int) -> Iterator[None]:
    """``count`` CPU threads for the nets inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def net_arrays(net: nn.Module, prefix: str) -> dict[str, NDArray[Any]]:
    """A net's weights and running means, by name."""
    return {f"{prefix}.{name}": value.detach().cpu().numpy() for name, value in net.state_dict().items()}


def load_net(net: nn.Module, arrays: store.Arrays, prefix: str) -> None:
    """Give a net what :func:`net_arrays` took; ValueError if anything is missing, of another shape, or not finite."""
    state = {}
    for name, value in net.state_dict().items():
        array = arrays.get(f"{prefix}.{name}")
        if array is None or array.shape != tuple(value.shape) or not np.isfinite(array).all():
            raise ValueError(f"{prefix}.{name} is missing or not as it should be")
        state[name] = torch.from_numpy(array.copy())
    # A net with numbers keeps its tensors, which an optimiser may hold.
    net.load_state_dict(state, assign=any(parameter.is_meta for parameter in net.parameters()))
