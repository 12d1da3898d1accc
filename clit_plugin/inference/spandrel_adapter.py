"""Our networks in spandrel's registry, each at a fixed factor, so that what loads models by spandrel loads ours.

    from clit_plugin.inference.spandrel_adapter import register
    register()
    model = spandrel.ModelLoader().load_from_file("clit_small.safetensors")

In ComfyUI the first two lines stand in a custom node, ``custom_nodes/clit_plugin.py``, behind them
``NODE_CLASS_MAPPINGS = {}``; the node "Load Upscale Model" then takes the files of ``clit export``.
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
from clit_plugin.archs.safetensors_file import EMBEDDED, MOST_FACTOR, check_network_fits, decode_embedded
from clit_plugin.archs.weights import load_weights
from clit_plugin.config.components import check_network
from clit_plugin.utils.errors import UserError

ID = "clit_plugin"


class FixedFactor(nn.Module):
    """A network of any scale, held to one integer factor: (B, 3, H, W) to (B, 3, factor H, factor W), RGB in [0, 1]."""

    def __init__(self, net: ArbitraryScaleArch, factor: int) -> None:
        super().__init__()
        self.net, self.factor = net, factor

    def forward(self, lq: Tensor) -> Tensor:
        return self.net.upscale(lq, (lq.shape[-2] * self.factor, lq.shape[-1] * self.factor))


class ArbitraryScale(Architecture[FixedFactor]):
    """What spandrel knows of our files: the tensor by which they are detected says how the network is built.

    Args:
        factor: At which networks are applied; by default what each file says (``clit export --factor``).
    """

    def __init__(self, factor: int | None = None) -> None:
        super().__init__(id=ID, name="clit_plugin", detect=lambda state_dict: EMBEDDED in state_dict)
        self.factor = factor

    def load(self, state_dict: StateDict) -> ImageModelDescriptor[FixedFactor]:
        """The model.

        Raises:
            UserError: A network that cannot be built, or that the weights do not fit.
        """
        network, factor = decode_embedded(state_dict[EMBEDDED])
        factor = self.factor or factor
        weights = {name: value for name, value in state_dict.items() if name != EMBEDDED}
        check_network_fits(network, weights, EMBEDDED)
        net: Any = build_network(check_network(network))
        if not isinstance(net, ArbitraryScaleArch):
            raise UserError(f"{EMBEDDED}: {network['type']} is no network that these weights could be for")
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
    """Let spandrel load our networks; without ``factor`` a second time does nothing.

    Args:
        factor: As of ``ArbitraryScale``.
        registry: By default the one that spandrel's ``ModelLoader`` uses.

    Raises:
        ValueError: A factor that is not 1 to 64.
        DuplicateArchitectureError: Of spandrel: they are registered, and a factor is given.
    """
    if factor is not None and not 1 <= factor <= MOST_FACTOR:
        raise ValueError(f"factor: expected 1 to {MOST_FACTOR}, got {factor}")
    others = tuple(support.architecture.id for support in registry if support.architecture.id != ID)
    # First of all: no other file holds that tensor, and others' conditions may be met by ours.
    support = ArchSupport.from_architecture(ArbitraryScale(factor), before=others)
    registry.add(support, ignore_duplicates=factor is None)
