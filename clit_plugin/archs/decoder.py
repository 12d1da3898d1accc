"""The MLP at the end of every head, in two parts, because the fast paths compute its first layer in another way."""

from collections.abc import Sequence

from torch import nn


class Decoder(nn.Sequential):
    """Linear layers with an activation between them, the last one to RGB: (..., channels) -> (..., 3).

    Args:
        channels: Width of the input.
        hidden: Widths of the hidden layers; none: a single linear layer.
        activation: Between the layers.

    Raises:
        ValueError: A width below 1.
    """

    def __init__(self, channels: int, hidden: Sequence[int], *, activation: type[nn.Module] = nn.ReLU) -> None:
        if any(width < 1 for width in hidden):
            raise ValueError(f"decoder_hidden: expected positive widths, got {list(hidden)}")
        widths = [channels, *hidden]
        layers: list[nn.Module] = []
        for width_in, width_out in zip(widths, hidden, strict=False):
            layers += [nn.Linear(width_in, width_out), activation()]
        super().__init__(*layers, nn.Linear(widths[-1], 3))

    @property
    def first(self) -> nn.Linear:
        """The first layer."""
        return self._linear(0)

    @property
    def rest(self) -> nn.Sequential:
        """What follows, the activation included: ``decoder(x)`` is ``decoder.rest(decoder.first(x))``."""
        return nn.Sequential(*list(self)[1:])

    @property
    def last(self) -> nn.Linear:
        """The layer to RGB."""
        return self._linear(-1)

    def _linear(self, index: int) -> nn.Linear:
        layer = self[index]
        assert isinstance(layer, nn.Linear)
        return layer
