"""Registers our networks with spandrel, each at a fixed factor, for programs that load models through it.

    from clit_plugin.inference.spandrel_adapter import register
    register()
    model = spandrel.ModelLoader().load_from_file("clit_small.safetensors")

In ComfyUI, put the first two lines into a custom node, ``custom_nodes/clit_plugin.py``, followed by
``NODE_CLASS_MAPPINGS = {}``; the node "Load Upscale Model" then loads the files of ``clit export``.
"""

from typing import Any

from spandrel import (
    MAIN_REGISTRY,
    Architecture,
    ArchRegistry,
    ArchSupport,
    ImageModelDescriptor,
    ModelTiling,
    StateDict,
)
from torch import Tensor, nn

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch
from clit_plugin.archs.build import build_network
from clit_plugin.archs.safetensors_file import EMBEDDED, MAX_EXPORT_FACTOR, check_network_fits, decode_embedded
from clit_plugin.archs.weights import load_weights
from clit_plugin.config.components import check_network
from clit_plugin.utils.errors import UserError

ID = "clit_plugin"


class FixedFactor(nn.Module):
    """An arbitrary-scale network at a fixed factor: (B, 3, H, W) to (B, 3, factor H, factor W), RGB in [0, 1]."""

    def __init__(self, net: ArbitraryScaleArch, factor: int) -> None:
        super().__init__()
        self.net, self.factor = net, factor

    def forward(self, lq: Tensor) -> Tensor:
        return self.net.upscale(lq, (lq.shape[-2] * self.factor, lq.shape[-1] * self.factor))


class ArbitraryScale(Architecture[FixedFactor]):
    """Loads our files in spandrel; they are detected by the tensor ``EMBEDDED``, which holds the network's options.

    Args:
        factor: Factor of all models; by default each file's own (``clit export --factor``).
    """

    def __init__(self, factor: int | None = None) -> None:
        super().__init__(id=ID, name="clit_plugin", detect=lambda state_dict: EMBEDDED in state_dict)
        self.factor = factor

    def load(self, state_dict: StateDict) -> ImageModelDescriptor[FixedFactor]:
        """Build the model.

        Raises:
            UserError: The network cannot be built, or the weights do not fit it.
        """
        network, factor = decode_embedded(state_dict[EMBEDDED])
        factor = self.factor or factor
        weights = {name: value for name, value in state_dict.items() if name != EMBEDDED}
        check_network_fits(network, weights, EMBEDDED)
        net: Any = build_network(check_network(network))
        if not isinstance(net, ArbitraryScaleArch):
            raise UserError(f"{EMBEDDED}: {network['type']} does not take weights")
        load_weights(net, weights, "the model", allow_new_branches=False)
        return ImageModelDescriptor(
            FixedFactor(net, factor),
            {f"net.{name}": value for name, value in weights.items()},
            architecture=self,
            purpose="SR",
            tags=[network["type"], f"{net.num_branches} branches"],
            supports_half=False,  # coordinates and attention need float32
            supports_bfloat16=False,
            scale=factor,
            input_channels=3,
            output_channels=3,
            tiling=ModelTiling.SUPPORTED,
        )


def register(factor: int | None = None, registry: ArchRegistry = MAIN_REGISTRY) -> None:
    """Register our networks with spandrel. Without ``factor``, a second call does nothing.

    Args:
        factor: As for ``ArbitraryScale``.
        registry: By default the one that spandrel's ``ModelLoader`` uses.

    Raises:
        ValueError: A factor outside 1 to 64.
        DuplicateArchitectureError: From spandrel: a second call with ``factor``.
    """
    if factor is not None and not 1 <= factor <= MAX_EXPORT_FACTOR:
        raise ValueError(f"factor: expected 1 to {MAX_EXPORT_FACTOR}, got {factor}")
    others = tuple(support.architecture.id for support in registry if support.architecture.id != ID)
    # First, as our files might match the detection of other architectures; only our files have the tensor.
    support = ArchSupport.from_architecture(ArbitraryScale(factor), before=others)
    registry.add(support, ignore_duplicates=factor is None)
