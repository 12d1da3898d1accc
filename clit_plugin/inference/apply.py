"""A network applied to one image, with an estimate where it takes long and a bar that knows the time left."""

from torch import Tensor

from clit_plugin.archs.arbitrary_scale_arch import ArbitraryScaleArch
from clit_plugin.inference.estimate import estimate_seconds, told
from clit_plugin.inference.memory import check_memory, memory_errors
from clit_plugin.ops.sizes import by
from clit_plugin.utils.console import AnyBar, bar, say
from clit_plugin.utils.errors import UserError

_WORTH_TELLING = 20.0  # seconds


def upscale_with_progress(
    net: ArbitraryScaleArch,
    rgb: Tensor,
    size: tuple[int, int],
    *,
    label: str,
    name: str,
    max_queries: int | None = None,
) -> Tensor:
    """Upscale one image.

    Args:
        net: On any device.
        rgb: (3, H, W) in [0, 1], on any device.
        size: (H_out, W_out).
        label: What stands before the bar.
        name: What an error calls the image.
        max_queries: As in ``ArbitraryScaleArch.upscale``.

    Returns:
        (3, H_out, W_out) on the CPU, about [0, 1] and not clamped.

    Raises:
        UserError: There is not the memory, or the encoder refuses so small an image.
    """
    device = next(net.parameters()).device
    check_memory(size, device, name=name)
    pixels = size[0] * size[1]
    # Tiles and queries bound what comes and goes; features and output, which stay, grow with the image.
    remedy = "a smaller scale or a part of the image" + ("" if device.type == "cpu" else ", or --device cpu")
    lq = rgb[None].to(device)
    with memory_errors(f"{name} to {by(size)}", device, remedy):
        seconds = estimate_seconds(net, lq, size, max_queries=max_queries)
    if seconds is not None and seconds >= _WORTH_TELLING:
        say(f"{label}: about {told(seconds)}")
    progress: AnyBar
    with bar(total=pixels, desc=label, unit="pixel", unit_scale=True, leave=False, delay=0.5) as progress:
        try:
            with memory_errors(f"{name} to {by(size)}", device, remedy):
                image = net.upscale(lq, size, max_queries=max_queries, progress=progress.update)
        except (RuntimeError, ValueError) as error:  # an encoder's padding or normalisation
            if min(rgb.shape[-2:]) < 16:
                raise UserError(f"{name}: {rgb.shape[-1]}x{rgb.shape[-2]} is too small for the encoder") from error
            raise
        progress.update(pixels - progress.n)
    return image[0].cpu()
