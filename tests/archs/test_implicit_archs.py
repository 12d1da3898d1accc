"""LIIF, UltraSR, IPE, LTE and Meta-SR against loops over queries, written from their papers' equations."""

import math

import pytest
import torch
import torch.nn.functional as F

from clit_plugin.archs import CLIT, IPE, LIIF, LTE, MetaSR, UltraSR
from clit_plugin.fast.kernel_costs import count_costs
from clit_plugin.ops.coordinates import make_cell, make_coord

TINY = {"type": "EDSRBaseline", "num_feat": 6, "num_block": 1}
SMALL = {"decoder_hidden": [12, 10]}
NETS = {
    "LIIF": (LIIF, SMALL),
    "LIIF without ensemble, unfolding and cell": (
        LIIF,
        {**SMALL, "local_ensemble": False, "feature_unfold": False, "cell_decoding": False},
    ),
    "UltraSR": (UltraSR, {"width": 12, "num_frequencies": 3}),
    "UltraSR with residual links, powers of two and cell": (
        UltraSR,
        {"width": 12, "num_frequencies": 3, "residual": True, "omega_init": "pow2", "cell_decoding": True},
    ),
    "IPE": (IPE, {**SMALL, "num_frequencies": 3}),
    "IPE with position and cell, without pi": (
        IPE,
        {**SMALL, "num_frequencies": 3, "include_delta": True, "cell_decoding": True, "times_pi": False},
    ),
    "LTE": (LTE, {**SMALL, "width": 8}),
    "LTE without ensemble and clip": (LTE, {**SMALL, "width": 8, "local_ensemble": False, "cell_clip": False}),
    "MetaSR": (MetaSR, {"width": 7}),
}
SIZES = [((5, 7), (8, 18)), ((2, 3), (13, 8)), ((6, 5), (7, 5)), ((2, 1), (3, 5))]  # LR, output


def build(name, **options):
    torch.manual_seed(0)
    kind, given = NETS[name]
    return kind(encoder=TINY, **given, **options).double()


def mlp(layers, x, residual=False):
    for layer in layers:
        x = layer(x)
    return x


def naive_decode(net, window, delta, cell):
    """One prediction (3,) from the 3 x 3 features (C, 3, 3), position (2,) and relative cell (2,)."""
    if isinstance(net, MetaSR):
        raise AssertionError
    z = window.flatten() if net.kernel == 3 else window[:, 1, 1]
    if isinstance(net, LIIF):
        return mlp(net.decoder, torch.cat([z, delta, cell] if net.cell_decoding else [z, delta]))
    if isinstance(net, IPE):
        values = []
        for axis in (0, 1):
            for wave in (math.sin, math.cos):
                for level in range(net.num_frequencies):
                    omega = 2**level * (math.pi if net.times_pi else 1)
                    # The mean over the pixel, by the midpoint rule.
                    steps = (torch.arange(800, dtype=torch.float64) + 0.5) / 800 - 0.5
                    points = omega * (delta[axis] + steps * cell[axis])
                    values.append((points.sin() if wave is math.sin else points.cos()).mean())
        seen = [z, torch.stack(values)] + [delta] * net.include_delta + [cell] * net.cell_decoding
        return mlp(net.decoder, torch.cat(seen))
    if isinstance(net, UltraSR):
        s = [delta]
        for axis in (0, 1):
            s += [(net.omega * delta[axis]).sin(), (net.omega * delta[axis]).cos()]
        s = torch.cat(s + ([cell] if net.cell_decoding else []))
        h = F.relu(net.layers[0](torch.cat([z, s])))
        for layer in net.layers[1:4]:
            h = F.relu(layer(torch.cat([h, s]))) + (h if net.residual_links else 0)
        return net.layers[4](torch.cat([h, s]))
    assert isinstance(net, LTE)
    amplitude = F.conv2d(window[None], net.amplitude.weight, net.amplitude.bias).flatten()
    frequency = F.conv2d(window[None], net.frequency.weight, net.frequency.bias).flatten()
    if net.cell_clip:
        cell = cell * torch.clamp(2 / cell / 4, min=1)
    phase = net.phase.weight @ cell
    angle = torch.stack([f @ delta for f in frequency.view(-1, 2)]) + phase
    return mlp(net.decoder, amplitude * torch.cat([(math.pi * angle).cos(), (math.pi * angle).sin()]))


def naive(net, lq, size):
    """The image, pixel by pixel: (3, H_out, W_out)."""
    x = (lq - 0.5) / 0.5
    feature = net.encoder(x)
    _, _, h, w = feature.shape
    padded = F.pad(feature[0], (1, 1, 1, 1))
    extent = torch.tensor([h, w], dtype=torch.float64)
    out = torch.zeros(3, *size, dtype=torch.float64)
    for i in range(size[0]):
        for j in range(size[1]):
            position = torch.tensor([(2 * i + 1) / size[0] - 1, (2 * j + 1) / size[1] - 1], dtype=torch.float64)
            cell = torch.tensor([2 / size[0], 2 / size[1]], dtype=torch.float64)

            def pixel(place):
                index = [
                    min(max(round(float((place[a] + 1) * extent[a] / 2 - 0.5)), 0), int(extent[a]) - 1) for a in (0, 1)
                ]
                centre = torch.stack([(2 * index[a] + 1) / extent[a] - 1 for a in (0, 1)])
                return padded[:, index[0] : index[0] + 3, index[1] : index[1] + 3], centre

            if isinstance(net, MetaSR):
                corner = position - cell / 2
                window, centre = pixel(corner + 1e-6)
                delta = (corner - (centre - 1 / extent)) * extent / 2
                hidden = F.relu(net.hidden(torch.cat([delta, cell[:1] * h / 2])))
                out[:, i, j] = window.flatten() @ net.filters(hidden).view(-1, 3)
            elif net.local_ensemble:
                predictions, areas = [], []
                for dy in (-1, 1):
                    for dx in (-1, 1):
                        shifted = position + torch.tensor([dy, dx]) / extent + 1e-6
                        window, centre = pixel(shifted.clamp(-1 + 1e-6, 1 - 1e-6))
                        delta = (position - centre) * extent
                        predictions.append(naive_decode(net, window, delta, cell * extent))
                        areas.append((delta[0] * delta[1]).abs() + 1e-9)
                for prediction, area in zip(predictions, areas[::-1], strict=True):
                    out[:, i, j] += prediction * area / sum(areas)
            else:
                window, centre = pixel(position)
                out[:, i, j] = naive_decode(net, window, (position - centre) * extent, cell * extent)
    if isinstance(net, LTE):  # over the bilinear image
        out += F.interpolate(x, size, mode="bilinear", align_corners=False)[0]
    return out * 0.5 + 0.5


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize(("lr_size", "size"), SIZES)
@pytest.mark.parametrize("name", NETS)
def test_an_image_equals_a_loop_over_its_pixels(name, lr_size, size, reference):
    net = build(name, reference=reference).eval()
    lq = torch.rand(1, 3, *lr_size, dtype=torch.float64)
    tolerance = 1e-5 if "IPE" in name else 1e-9  # the naive mean over a pixel is a sum
    with torch.no_grad():
        torch.testing.assert_close(net.upscale(lq, size)[0], naive(net, lq, size), rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", NETS)
def test_fast_and_reference_path_agree_in_values_and_gradients(name):
    fast, reference = build(name), build(name, reference=True)
    lq = torch.rand(2, 3, 6, 5, dtype=torch.float64)
    coord = (torch.rand(2, 31, 2, dtype=torch.float64) - 0.5) * 2
    cell = make_cell((15, 16), dtype=torch.float64).expand(2, -1)
    weight = torch.rand(2, 31, 3, dtype=torch.float64)
    outputs = [net(lq, coord, cell) for net in (fast, reference)]
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-10)
    for output in outputs:
        (output * weight).sum().backward()
    for (parameter, a), b in zip(fast.named_parameters(), reference.parameters(), strict=True):
        assert a.grad is not None and float(a.grad.abs().max()) > 0, parameter
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", NETS)
def test_whole_images_do_not_depend_on_bands_and_chunks(name):
    net = build(name).eval()
    lq = torch.rand(2, 3, 41, 6, dtype=torch.float64)
    whole = net.upscale(lq, (103, 17))
    net.latent_bytes = 1  # bands of 8 LR rows
    torch.testing.assert_close(net.upscale(lq, (103, 17), max_queries=40), whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NETS)
def test_a_whole_image_needs_no_synchronisation_with_the_gpu(name):
    net = build(name).eval().float().to("meta")
    with count_costs() as costs:  # which raises where it would
        image = net.upscale(torch.empty(2, 3, 41, 6, device="meta"), (103, 17))
    assert image.shape == (2, 3, 103, 17)
    assert costs.copies == 3


@pytest.mark.parametrize("name", NETS)
def test_sampled_queries_are_pixels_of_the_whole_image(name):
    net = build(name).eval().float()
    lq, size = torch.rand(1, 3, 5, 6), (12, 31)
    coord, cell = make_coord(size), make_cell(size).unsqueeze(0)
    with torch.no_grad():
        sampled = net(lq, coord[None], cell)
    torch.testing.assert_close(sampled[0].T.view(3, *size), net.upscale(lq, size)[0], rtol=0, atol=1e-5)


def test_bfloat16_by_autocast_stays_near_float32():
    for name in NETS:
        net = build(name).eval().float()
        lq = torch.rand(1, 3, 5, 6)
        exact = net.upscale(lq, (11, 13))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            coarse = net.upscale(lq, (11, 13))
        assert (exact - coarse).abs().max() < 0.05, name


def test_ltes_cell_is_clipped_in_evaluation_beyond_scale_4_alone():
    torch.manual_seed(0)
    net, free = (LTE(encoder=TINY, width=8, **SMALL, cell_clip=clip) for clip in (True, False))
    free.load_state_dict(net.state_dict())
    lq = torch.rand(1, 3, 4, 4)
    for scale, same in ((3, True), (4, True), (5, False)):
        size = (4 * scale, 4 * scale)
        coord, cell = make_coord(size)[None], make_cell(size)[None]
        assert torch.equal(net.eval().upscale(lq, size), free.eval().upscale(lq, size)) is same
        assert torch.equal(net.train()(lq, coord, cell), free.train()(lq, coord, cell))


@pytest.mark.parametrize(
    ("net", "count"),
    [
        (lambda e: LIIF(encoder=e), 346_883),
        (lambda e: LTE(encoder=e), 493_827),
        (lambda e: MetaSR(encoder=e), 445_120),
        (lambda e: UltraSR(encoder=e, learn_omega=False), 397_209 + 12),
        (lambda e: CLIT(encoder=e, num_branches=3), 15_689_489),
        (lambda e: CLIT(encoder=e), 5_328_651),
    ],
    ids=["LIIF", "LTE", "MetaSR", "UltraSR", "CLIT-3", "LIT"],
)
def test_the_head_has_the_published_number_of_parameters(net, count):
    net = net({"type": "EDSRBaseline"})
    head = [p for name, p in net.named_parameters() if not name.startswith("encoder.")]
    assert sum(p.numel() for p in head) == count


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (LIIF, {"decoder_hidden": []}, "decoder_hidden"),
        (LTE, {"width": 7}, "width"),
        (UltraSR, {"omega_init": "log"}, "omega_init"),
        (UltraSR, {"num_frequencies": 0}, "num_frequencies"),
        (IPE, {"num_frequencies": 0}, "num_frequencies"),
        (MetaSR, {"width": 0}, "width"),
    ],
)
def test_a_bad_argument_is_named(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(encoder=TINY, **options)
