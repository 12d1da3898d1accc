"""Any architecture of BasicSR as an encoder, tapped at one of its layers."""

import copy
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import basicsr.archs  # noqa: F401, fills ARCH_REGISTRY
import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from clit_plugin.archs.encoders.checks import check_positive
from clit_plugin.archs.encoders.padding import pad_to_multiple
from clit_plugin.archs.encoders.registry import ENCODER_REGISTRY


class _Tapped(Exception):  # noqa: N818, not an error
    """Ends a forward pass once the tapped layer has run."""


@ENCODER_REGISTRY.register()
class BasicSRFeatures(nn.Module):
    """The output of one layer of an architecture from BasicSR's ARCH_REGISTRY; later layers do not run.

    Parameters that the tapped output does not depend on are frozen. The architecture gets an image in [0, 1], as
    BasicSR's expect.

    Args:
        arch: ``type``, a name in ARCH_REGISTRY, and the constructor's arguments. It is not changed.
        layer: Name of the layer, as in ``named_modules``. Its output must have the image's height and width. If the
            layer runs more than once, the first output is used.
        multiple: The number that the architecture needs height and width to be multiples of. Other sizes are padded by
            mirroring and cropped afterwards.

    Raises:
        ValueError: An unknown type or layer, an output of another size, or an architecture that needs a ``multiple``.
    """

    def __init__(self, *, arch: Mapping[str, Any], layer: str, multiple: int = 1) -> None:
        check_positive(multiple=multiple)
        super().__init__()
        self.arch = _build_arch(arch)
        names = [name for name, _ in self.arch.named_modules()]
        if layer not in names:
            near = difflib.get_close_matches(layer, names, n=3, cutoff=0.0)
            raise ValueError(f"layer: no layer named {layer!r} in {arch['type']}; the nearest are {', '.join(near)}")
        self.layer = layer
        self.multiple = multiple
        self.out_channels = self._dry_run()

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, out_channels, H, W) of an image (B, 3, H, W) in [-1, 1]."""
        h, w = x.shape[-2:]
        return self._tap(pad_to_multiple(x * 0.5 + 0.5, self.multiple))[..., :h, :w]

    def _tap(self, image: Tensor) -> Any:
        """Output of the layer for an image that needs no padding."""
        tapped: list[Any] = []

        def keep_and_stop(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            tapped.append(output)
            raise _Tapped

        # Registered for this call only: a copy or a pickle of the network carries no hook.
        handle = self.arch.get_submodule(self.layer).register_forward_hook(keep_and_stop)
        try:
            self.arch(image)
        except _Tapped:
            return tapped[0]
        finally:
            handle.remove()
        raise ValueError(f"layer {self.layer!r}: expected a layer that runs in the forward pass; this one does not")

    @torch.enable_grad()
    def _dry_run(self) -> int:
        """Check the layer's output, freeze what it does not depend on, and return its number of channels."""
        # The smallest image, odd and not square, so that errors occur here and not in the middle of a training.
        h, w = self.multiple, 3 * self.multiple
        self.arch.eval()  # running statistics stay as they are
        try:
            output = self._tap(torch.zeros(1, 3, h, w))
        except (AssertionError, RuntimeError) as error:
            raise ValueError(
                f"multiple: {type(self.arch).__name__} fails on an image of {w}x{h}; expected the number that it needs "
                f"sizes to be multiples of, got {self.multiple}"
            ) from error
        finally:
            self.arch.train()
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        if not isinstance(output, Tensor) or output.ndim != 4 or (output.shape[0], *output.shape[2:]) != (1, h, w):
            raise ValueError(
                f"layer {self.layer!r}: expected an output of shape (1, C, {h}, {w}) for an image of (1, 3, {h}, {w}), "
                f"got {shape}"
            )
        # DistributedDataParallel waits for the gradient of every trainable parameter.
        parameters = [parameter for parameter in self.arch.parameters() if parameter.requires_grad]
        gradients: Sequence[Tensor | None] = [None] * len(parameters)
        if output.requires_grad:
            gradients = torch.autograd.grad(output.sum(), parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.requires_grad_(gradient is not None)
        return int(output.shape[1])


def _build_arch(options: Mapping[str, Any]) -> nn.Module:
    arguments = copy.deepcopy(dict(options))
    name = arguments.pop("type", None)
    # BasicSR registers some under a suffix, to leave the plain name to plugins, and finds them without it.
    if name not in ARCH_REGISTRY and f"{name}_basicsr" not in ARCH_REGISTRY:
        raise ValueError(f"arch: expected a type from BasicSR's ARCH_REGISTRY, got {name!r}")
    return ARCH_REGISTRY.get(name)(**arguments)
