"""HR images and their LR images, which are given or made from HR: names, sizes, checks."""

from pathlib import PurePosixPath

from clit_plugin.data.dataset_options import SetOptions
from clit_plugin.data.image_source import ImageSource
from clit_plugin.data.realistic_degradation import Degradation, draw_seeded
from clit_plugin.ops.sizes import ROUNDING, Pair, Size, scale_label, wxh
from clit_plugin.utils.errors import UserError


class ImagePairs:
    """The images of a data set.

    Args:
        options: Options of the set.
        chosen: The slice of the HR images, in the order of their names, that belongs to the set.

    Attributes:
        gt: The HR images.
        lq: The given LR images, or None where LR is made from HR.
        names: Keys of the chosen images in ``gt``.

    Raises:
        UserError: No such images.
    """

    def __init__(self, options: SetOptions, chosen: slice) -> None:
        self.gt = ImageSource(options.dataroot_gt, options.io_backend, strict=options.strict)
        self.lq = None
        if options.dataroot_lq is not None:
            self.lq = ImageSource(options.dataroot_lq, options.io_backend, strict=options.strict)
        self.names = list(self.gt.sizes)[chosen]
        self._filename_tmpl = options.filename_tmpl
        self._kernel, self._realistic = options.degradation, options.realistic

    @property
    def lq_names(self) -> list[str]:
        """Keys of the given LR images, in the order of ``names``."""
        return [self.lq_name(name) for name in self.names]

    def lq_name(self, name: str) -> str:
        """Key of the LR image of an HR image, by ``filename_tmpl``."""
        path = PurePosixPath(name)
        return str(path.with_name(self._filename_tmpl.replace("{}", path.name)))

    def ratio(self, name: str) -> Pair:
        """Scale (y, x) of a given pair: its HR size over its LR size."""
        assert self.lq is not None
        (height, width), (h, w) = self.gt.sizes[name], self.lq.sizes[self.lq_name(name)]
        return height / h, width / w

    def degradation(self, *entropy: int) -> str | Degradation:
        """How LR is made from HR; see ``draw_seeded`` for a realistic degradation."""
        if self._realistic is None:
            return str(self._kernel)
        return draw_seeded(self._realistic, *entropy)

    def check_given(self, scales: Pair | None = None) -> None:
        """Check that every HR image has an LR image of a fitting size, where LR images are given.

        Args:
            scales: (y, x) of the set; None if each pair has its own.

        Raises:
            UserError: An LR image is missing, or its size does not fit.
        """
        if self.lq is None:
            return
        for name, lq_name in zip(self.names, self.lq_names, strict=True):
            if lq_name not in self.lq.sizes:
                raise UserError(
                    f"{self.gt.describe(name)}: no LR image named {lq_name} in {self.lq.root}; "
                    f"check filename_tmpl ({self._filename_tmpl!r})"
                )
            size, lq_size = self.gt.sizes[name], self.lq.sizes[lq_name]
            if min(self.ratio(name)) < 1:
                raise UserError(f"{self.lq.describe(lq_name)}: {wxh(lq_size)} is larger than its HR image, {wxh(size)}")
            if scales is not None and not _fits(size, lq_size, scales):
                raise UserError(
                    f"{self.lq.describe(lq_name)}: {wxh(lq_size)} does not fit its HR image, {wxh(size)}, "
                    f"at x{scale_label(scales)}"
                )

    def check_smallest(self, min_size: Pair, option: str) -> None:
        """Check that every image, LR if it is given, is large enough.

        Args:
            min_size: Smallest sides (y, x).
            option: The option that requires them, for the error.

        Raises:
            UserError: An image is smaller.
        """
        source, names = (self.gt, self.names) if self.lq is None else (self.lq, self.lq_names)
        for name in names:
            size = source.sizes[name]
            if size[0] + ROUNDING < min_size[0] or size[1] + ROUNDING < min_size[1]:
                raise UserError(
                    f"{source.describe(name)}: {wxh(size)} is smaller than the crop of "
                    f"{min_size[1]:g}x{min_size[0]:g}; remove the image or choose a smaller {option}"
                )

    def check_cache(self) -> None:
        """Raise UserError if the decoded images exceed the available memory."""
        self.gt.check_cache(self.names)
        if self.lq is not None:
            self.lq.check_cache(self.lq_names)

    def fill_cache(self) -> None:
        """Decode all images into memory. Raises UserError as ``check_cache``, and for damaged files."""
        self.gt.fill_cache(self.names)
        if self.lq is not None:
            self.lq.fill_cache(self.lq_names)


def _fits(size: Size, lq_size: Size, scales: Pair) -> bool:
    """Whether HR covers the scaled LR image with less than one LR pixel, and rounding, to spare."""
    sides = zip(size, lq_size, scales, strict=True)
    return all(round(small * scale) <= large < (small + 1) * scale + 1 for large, small, scale in sides)
