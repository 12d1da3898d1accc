"""``clit upscale`` of a video: frames, times, sound and colours, interruptions, and what is refused."""

import sys
from fractions import Fraction

import numpy as np
import pytest

av = pytest.importorskip("av", reason="no PyAV (pip install av)")
from inference_helpers import write_weights  # noqa: E402
from video_clips import RATE, decoded, packets, pictures, write_clip  # noqa: E402

from clit_plugin.commands.cli import run_command  # noqa: E402
from clit_plugin.ops.pixels import to_samples, to_tensor  # noqa: E402
from clit_plugin.video import enlarge, parts  # noqa: E402


@pytest.fixture
def net(tmp_path, monkeypatch):
    """The network of clit.pth, in the working folder."""
    monkeypatch.chdir(tmp_path)
    return write_weights(tmp_path / "clit.pth")


@pytest.fixture
def few(monkeypatch):
    """Parts of five frames."""
    monkeypatch.setattr(enlarge, "FRAMES", 5)
    monkeypatch.setattr(parts, "FRAMES", 5)


def upscale(*arguments):
    return run_command("upscale", [*map(str, arguments), "--weights", "clit.pth", "--device", "cpu"])


def rgb(frame):
    return frame.to_ndarray(format="rgb24").astype(int)


def test_frames_are_those_that_upscale_gives(net, few):
    write_clip("a.mp4", pictures(3))
    assert upscale("a.mp4", "-o", "b.mp4", "--height", 60, "--crf", 0) == 0
    for (_, given), (_, made) in zip(decoded("a.mp4"), decoded("b.mp4"), strict=True):
        lq = to_tensor(rgb(given).astype(np.uint8))
        expected = to_samples(net.upscale(lq[None], (60, 80))[0])
        assert (made.height, made.width, made.format.name) == (60, 80, "yuv420p")
        assert np.abs(rgb(made) - expected).mean() < 2


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_uneven_frame_times_and_the_sound_are_kept(net, few, suffix):
    times = [0, 20, 40, 110, 130, 150, 151, 240, 260, 280, 300, 320]
    write_clip("a.mp4", pictures(12), times=times, time_base=Fraction(1, 1000))
    assert upscale("a.mp4", "-o", f"b{suffix}", "--scale", 2) == 0
    shown = [time for time, _ in decoded(f"b{suffix}")]  # .mkv begins both a little later, as sound may begin before 0
    assert [time - shown[0] for time in shown] == pytest.approx([Fraction(time, 1000) for time in times], abs=1e-3)
    given, kept = packets("a.mp4", "audio"), packets(f"b{suffix}", "audio")
    assert [content for content, _ in kept] == [content for content, _ in given]
    assert len(kept) > 15
    for (_, before), (_, after) in zip(given, kept, strict=True):
        assert after - shown[0] == pytest.approx(before, abs=1e-3)


def test_the_frame_rate_of_film_is_kept_exactly_through_all_parts(net, few):
    write_clip("a.mov", pictures(11), sound=None)
    assert upscale("a.mov", "-o", "b.mp4", "--scale", 1.5) == 0
    assert [time for time, _ in decoded("b.mp4")] == [Fraction(1001 * n, 30000) for n in range(11)]
    with av.open("b.mp4") as container:
        assert container.streams.video[0].average_rate == Fraction(30000, 1001)


def test_an_interrupted_video_resumes_where_it_stopped(net, few, tmp_path, monkeypatch, capfd):
    write_clip("a.mp4", pictures(12))
    assert upscale("a.mp4", "-o", "whole.mp4", "--scale", 2) == 0
    work, done = enlarge.strips_of, []

    def counted(*arguments, **options):
        if len(done) == 8:
            raise KeyboardInterrupt
        done.append(1)
        return work(*arguments, **options)

    monkeypatch.setattr(enlarge, "strips_of", counted)
    assert upscale("a.mp4", "-o", "b.mp4", "--scale", 2) == 130
    assert "the same command continues a video" in capfd.readouterr().err
    assert sorted(path.name for path in tmp_path.glob("b.mp4*")) == ["b.mp4.parts"]
    assert upscale("a.mp4", "-o", "b.mp4", "--scale", 2.5) == 2
    assert "b.mp4.parts: was started with another size; delete it" in capfd.readouterr().err
    done.clear()
    assert upscale("a.mp4", "-o", "b.mp4", "--scale", 2) == 0
    assert len(done) == 7  # five of twelve were there
    assert "continuing after 5 frames" in capfd.readouterr().err
    assert packets("b.mp4", "video") == packets("whole.mp4", "video")
    assert not (tmp_path / "b.mp4.parts").exists()


def test_a_frame_that_is_shown_twice_is_computed_once(net, monkeypatch):
    first, second = pictures(2)
    write_clip("a.mp4", [first, first, first, second], sound=None)
    work, done = enlarge.strips_of, []
    monkeypatch.setattr(enlarge, "strips_of", lambda *a, **b: done.append(1) or work(*a, **b))
    assert upscale("a.mp4", "-o", "b.mp4", "--scale", 2) == 0
    assert len(done) == 2
    assert len(decoded("b.mp4")) == 4


def test_a_rotated_video_becomes_upright(net):
    write_clip("a.mp4", pictures(1), turned=90, sound=None)
    ((_, given),) = decoded("a.mp4")
    assert given.rotation % 360 == 90
    assert upscale("a.mp4", "-o", "b.mp4", "--scale", 2) == 0
    ((_, made),) = decoded("b.mp4")
    assert (made.rotation, made.height, made.width) == (0, 64, 48)
    upright = np.rot90(rgb(given))
    corners = [(2, 2), (2, -3), (-3, 2), (-3, -3)]
    for y, x in corners:
        assert np.abs(rgb(made)[2 * y, 2 * x] - upright[y, x]).max() < 40


@pytest.mark.parametrize(("matrix", "luma"), [(1, 63), (6, 81), (2, 81)])  # of red, as the standards have it
def test_the_colour_matrix_is_kept(net, matrix, luma):
    red = np.tile(np.uint8([255, 0, 0]), (24, 32, 1))
    write_clip("a.mp4", [red], matrix=matrix, sound=None)
    assert upscale("a.mp4", "-o", "b.mp4", "--scale", 2, "--crf", 0) == 0
    ((_, given),) = decoded("a.mp4")
    ((_, made),) = decoded("b.mp4")
    assert abs(given.to_ndarray()[12, 16] - luma) <= 1
    assert abs(int(made.to_ndarray()[24, 32]) - luma) <= 4  # the network changes a little
    assert made.colorspace == {1: 1, 6: 6, 2: 6}[matrix]
    assert made.color_range == 1


def test_the_pixel_aspect_ratio_is_kept_and_rotated(net):
    write_clip("a.mp4", pictures(1), turned=90, aspect=Fraction(4, 3), sound=None)
    assert upscale("a.mp4", "-o", "b.mp4", "--scale", 2) == 0
    with av.open("b.mp4") as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(3, 4)


def test_ten_bits_become_eight_with_a_message(net, capfd):
    write_clip("a.mp4", pictures(1), pix_fmt="yuv420p10le", sound=None)
    assert upscale("a.mp4", "-o", "b.mp4", "--scale", 2) == 0
    assert "a.mp4: has more than 8 bits per sample; the result has 8" in capfd.readouterr().err
    ((_, made),) = decoded("b.mp4")
    assert made.format.name == "yuv420p"


def test_transparency_and_subtitles_are_lost_which_is_said(net, capfd):
    with av.open("a.mkv", "w") as container:
        video, text = container.add_stream("ffv1", rate=25), container.add_mux_stream("subrip")
        video.height, video.width, video.pix_fmt = 24, 32, "yuva420p"
        container.mux(
            video.encode(av.VideoFrame.from_ndarray(pictures(1)[0], format="rgb24").reformat(format="yuva420p"))
        )
        container.mux(video.encode(None))
        line = av.Packet(b"hello")
        line.stream, line.time_base, line.pts, line.dts, line.duration = text, Fraction(1, 1000), 0, 0, 40
        container.mux(line)
    assert upscale("a.mkv", "-o", "b.mkv", "--scale", 2) == 0
    said = capfd.readouterr().err
    assert "a.mkv: has transparency, which the result lacks" in said
    assert "a.mkv: has subtitles, which the result lacks" in said


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_languages_and_chapters_are_kept(net, suffix):
    chapter = {"id": 1, "start": 0, "end": 40, "time_base": Fraction(1, 1000), "metadata": {"title": "first"}}
    with av.open("a.mkv", "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.height, video.width, video.pix_fmt = 24, 32, "yuv420p"
        sounds = [container.add_stream("aac", rate=44100, layout="mono") for _ in range(2)]
        for sound, language in zip(sounds, ("eng", "deu"), strict=True):
            sound.metadata["language"] = language
        container.set_chapters([chapter])
        container.mux(video.encode(av.VideoFrame.from_ndarray(pictures(1)[0], format="rgb24")))
        container.mux(video.encode(None))
        for sound in sounds:
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
            samples.sample_rate, samples.pts = 44100, 0
            container.mux([*sound.encode(samples), *sound.encode(None)])
    assert upscale("a.mkv", "-o", f"b{suffix}", "--scale", 2) == 0
    with av.open(f"b{suffix}") as container:
        assert [stream.language for stream in container.streams.audio] == ["eng", "deu"]
        assert [each["metadata"]["title"] for each in container.chapters()] == ["first"]


def test_a_single_frame_is_shown_as_long_as_one_of_its_rate(net):
    write_clip("a.mp4", pictures(1), sound=None)
    assert upscale("a.mp4", "-o", "b.mp4", "--scale", 2) == 0
    with av.open("b.mp4") as container:
        assert container.streams.video[0].duration * container.streams.video[0].time_base == 1 / RATE


def test_the_weights_and_their_scales_are_printed(net, capfd):
    write_weights("clit.pth", about={"name": "mine", "scale_range": [1, 4]})
    write_clip("a.mp4", pictures(1), sound=None)
    assert upscale("a.mp4", "-o", "b.mp4", "--scale", 5) == 0
    errors = capfd.readouterr().err
    assert "Weights: mine, trained for x1 to x4\n" in errors
    assert "a.mp4: x5 is outside the training scales, x1 to x4" in errors


def test_odd_sides_are_made_even(net):
    write_clip("a.mp4", pictures(1), sound=None)
    assert upscale("a.mp4", "-o", "b.mp4", "--scale", 1.55) == 0
    ((_, made),) = decoded("b.mp4")
    assert (made.height, made.width) == (38, 50)


def test_an_existing_output_is_replaced_only_on_request(net, tmp_path, capfd):
    write_clip("a.mp4", pictures(1), sound=None)
    (tmp_path / "b.mp4").write_bytes(b"mine")
    assert upscale("a.mp4", "-o", "b.mp4", "--scale", 2) == 2
    assert "already exists; --overwrite replaces" in capfd.readouterr().err
    assert upscale("a.mp4", "-o", "b.mp4", "--scale", 2, "--skip-existing") == 0
    assert (tmp_path / "b.mp4").read_bytes() == b"mine"
    assert upscale("a.mp4", "-o", "b.mp4", "--scale", 2, "--overwrite") == 0
    assert len(decoded("b.mp4")) == 1


REFUSED = [
    (["missing.mp4", "-o", "b.mp4", "--scale", 2], "missing.mp4: cannot be read"),
    (["note.mp4", "-o", "b.mp4", "--scale", 2], "note.mp4: not a readable video"),
    (["sound.mp4", "-o", "b.mp4", "--scale", 2], "sound.mp4: has no video stream"),
    (["a.mp4", "-o", "b.webm", "--scale", 2], "b.webm: videos cannot be written as .webm; choose one of .mp4"),
    (["a.mp4", "-o", "b.png", "--scale", 2], "b.png: a video cannot be written as .png"),
    (["a.mp4", "-o", "a.mp4", "--scale", 2, "--overwrite"], "a.mp4: would overwrite a.mp4, the video itself"),
    (["a.mp4", "a.mp4", "-o", "b.mp4", "--scale", 2], "a.mp4: give one video at a time"),
    (["a.mp4", "-o", "b.mp4", "--scale", 2, "--quality", 90], "--quality: for images only"),
    (["a.mp4", "-o", "b.mp4", "--scale", 2, "--crf", 52], "--crf: expected 0 (lossless) to 51"),
    (["a.mp4", "-o", "b.mp4", "--size", "65x49", "--stretch"], "the sides of a video must be even, as in 66x50"),
    (["a.mp4", "-o", "b.mp4", "--height", 20], "smaller than a.mp4"),
    (["law.avi", "-o", "b.mp4", "--scale", 2], ".mp4 cannot hold the pcm_alaw sound of law.avi; write .mkv"),
    (["a.png", "-o", "b.png", "--scale", 2, "--crf", 3], "--crf: for videos only"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_invalid_videos_and_arguments_are_refused_in_one_line_and_nothing_is_written(
    net, tmp_path, capfd, arguments, message
):
    write_clip("a.mp4", pictures(1), sound=None)
    (tmp_path / "note.mp4").write_text("no video")
    if arguments[0] == "sound.mp4":
        with av.open("sound.mp4", "w") as container:
            stream = container.add_stream("aac", rate=44100, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 44100
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    if arguments[0] == "law.avi":
        write_clip("law.avi", pictures(1), sound="pcm_alaw")
    before = sorted(tmp_path.iterdir())
    assert upscale(*arguments) == 2
    errors = capfd.readouterr().err
    assert message in errors
    assert errors.count("error: ") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_without_pyav_the_extra_to_install_is_named(net, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "av", None)
    assert upscale("a.mp4", "-o", "b.mp4", "--scale", 2) == 2
    assert 'videos need PyAV; pip install "clit_plugin[video]"' in capfd.readouterr().err
