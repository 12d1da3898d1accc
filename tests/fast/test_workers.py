"""Parts shared out among threads: each once, under the caller's modes, with torch's threads as they were."""

import threading

import pytest
import torch

from clit_plugin.archs.clit_arch import CLIT
from clit_plugin.fast import workers
from clit_plugin.fast.workers import share_out, worker_count

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 2, 5])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [0, 1, 7])
def test_every_part_is_done_once_and_reported_to_the_caller(threads, count):
    done, reported = [], []
    share_out(
        iter(range(count)), done.append, device=CPU, done=lambda part: reported.append((part, threading.get_ident()))
    )
    assert sorted(done) == list(range(count))
    assert sorted(reported) == [(part, threading.get_ident()) for part in range(count)]


def test_parts_run_in_parallel_in_workers_of_one_thread_each(three_threads):
    meeting = threading.Barrier(3, timeout=60)  # breaks unless three are at work at once
    seen = []

    def work(part):
        meeting.wait()
        seen.append(torch.get_num_threads())

    share_out(range(3), work, device=CPU)
    assert seen == [1, 1, 1]


def test_torchs_number_of_threads_is_restored(threads):
    share_out(range(4), lambda part: None, device=CPU)
    assert torch.get_num_threads() == threads
    seen = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [threads]


def test_of_two_simultaneous_callers_the_last_restores_torchs_threads(three_threads):
    started, over = threading.Event(), threading.Event()

    def wait(part):
        started.set()
        assert over.wait(60)

    first = threading.Thread(target=share_out, args=([0], wait), kwargs={"device": CPU})
    first.start()
    assert started.wait(60)
    share_out([0], lambda part: None, device=CPU)
    over.set()
    first.join()
    share_out([0], lambda part: None, device=CPU)
    seen = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [3] and torch.get_num_threads() == 3


def test_more_threads_than_max_workers_are_distributed_among_them(monkeypatch):
    monkeypatch.setattr(workers, "MAX_WORKERS", 2)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        meeting, seen = threading.Barrier(2, timeout=60), []
        share_out(range(2), lambda part: (meeting.wait(), seen.append(torch.get_num_threads())), device=CPU)
        assert worker_count(CPU) == 2
        assert seen == [2, 2]
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("place", ["work", "parts", "done"])
def test_an_error_reaches_the_caller_and_cancels_the_rest(threads, place):
    done = []

    def fail(part):
        raise ZeroDivisionError(part)

    def failing_parts():
        yield 0
        fail(1)

    arguments = {"parts": range(10**9), "work": done.append, "done": None}
    arguments[place] = failing_parts() if place == "parts" else fail
    with pytest.raises(ZeroDivisionError):
        share_out(**arguments, device=CPU)
    assert torch.get_num_threads() == threads
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("clit")]


@pytest.mark.parametrize("inference", [False, True])
def test_workers_record_no_gradients_and_inherit_the_callers_autocast(threads, inference):
    weight, seen = torch.ones(2, 2, requires_grad=True), []
    with torch.inference_mode(inference):
        out = torch.zeros(2, 2)

        def work(part):
            out[part] = 1.0
            seen.append((torch.mm(weight, weight).requires_grad, torch.mm(weight, weight).dtype))

        with torch.autocast("cpu", dtype=torch.bfloat16):
            share_out([0, 1], work, device=CPU)
    assert seen == [(False, torch.bfloat16)] * 2
    assert (out == 1).all()


@pytest.mark.parametrize("max_queries", [None, 50, 1])
@pytest.mark.parametrize("local_attention", [True, False])
def test_images_do_not_depend_on_the_number_of_threads(threads, max_queries, local_attention):
    torch.manual_seed(0)
    options = {"encoder": {"type": "EDSRBaseline", "num_feat": 8, "num_block": 1}, "dim": 12, "num_heads": 3}
    net = CLIT(**options, num_branches=2, decoder_hidden=[16], local_attention=local_attention).double().eval()
    reference = CLIT(**options, num_branches=2, decoder_hidden=[16], local_attention=local_attention, reference=True)
    reference.double().load_state_dict(net.state_dict())
    lq, reported = torch.rand(2, 3, 7, 9, dtype=torch.float64), []
    size = (39, 25) if max_queries == 50 else (11, 13)
    got = net.upscale(lq, size, max_queries=max_queries, progress=reported.append)
    torch.testing.assert_close(got, reference.upscale(lq, size), rtol=0, atol=1e-10)
    if local_attention:
        assert sum(reported) == pytest.approx(2 * size[0] * size[1])
