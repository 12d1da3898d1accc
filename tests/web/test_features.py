"""Encoder features of open pictures: computed once, only where they are visible, within one memory limit."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from waiting import wait_until

from clit_plugin.web.features import BLOCK, CachedFeatures, FeatureStore

PARTS = [
    ((0, 80), (0, 80)),
    ((150, 300), (100, 210)),
    ((0, 300), (0, 210)),
    ((17, 251), (3, 199)),
    ((299, 300), (0, 1)),
]


@pytest.fixture
def seen(nets, monkeypatch):
    """Sizes of the encoder's inputs."""
    seen, encode = [], nets[0].net.encode
    monkeypatch.setattr(nets[0].net, "encode", lambda lq, *rest: seen.append(tuple(lq.shape[-2:])) or encode(lq, *rest))
    return seen


def test_features_are_those_of_the_whole_picture(nets):
    lq = torch.rand(1, 3, 300, 210)
    features, whole = CachedFeatures(nets[0].net, lq, FeatureStore()), nets[0].net.encode(lq)
    for rows, columns in PARTS:
        expected = whole[..., slice(*rows), slice(*columns)]
        torch.testing.assert_close(features.crop(rows, columns), expected, rtol=1e-4, atol=1e-5)


def test_blocks_in_the_store_are_not_encoded_again(nets, seen):
    features = CachedFeatures(nets[0].net, torch.rand(1, 3, 300, 210), FeatureStore())
    features.crop((0, 300), (0, 210))
    assert seen == [(300, 210)]
    for rows, columns in PARTS:
        features.crop(rows, columns)
    assert len(seen) == 1


def test_only_missing_blocks_near_and_in_view_are_encoded_together(nets, seen):
    features = CachedFeatures(nets[0].net, torch.rand(1, 3, 30 * BLOCK, 20 * BLOCK), FeatureStore())
    margin = features.reach + 1
    features.crop((330, 340), (200, 211))
    assert seen == [(BLOCK + 2 * margin,) * 2]
    view = ((320, 320 + 9 * BLOCK), (160, 160 + 4 * BLOCK))
    features.crop((330, 340), (200, 250), view)  # a block more, and with it what is near
    assert seen[1:] == [(6 * BLOCK + 2 * margin, 4 * BLOCK + 2 * margin)]
    features.crop((330, 400), (170, 250), view)
    features.crop((320, 320 + 9 * BLOCK), (160, 160 + 4 * BLOCK), view)
    assert seen[2:] == [(3 * BLOCK + 2 * margin, 4 * BLOCK + 2 * margin)]


def test_two_threads_share_the_blocks_that_both_need(nets, seen, monkeypatch):
    features = CachedFeatures(nets[0].net, torch.rand(1, 3, 6 * BLOCK, 9 * BLOCK), FeatureStore())
    encode, met = nets[0].net.encode, threading.Barrier(2, timeout=30)
    monkeypatch.setattr(nets[0].net, "encode", lambda lq, *rest: met.wait() and False or encode(lq, *rest))
    parts = [((0, 6 * BLOCK), (0, 6 * BLOCK)), ((0, 6 * BLOCK), (3 * BLOCK, 9 * BLOCK))]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(features.crop, *parts[0])
        wait_until(lambda: met.n_waiting == 1)
        second = pool.submit(features.crop, *parts[1])
        cuts = [first.result(), second.result()]
    margin = features.reach + 1
    assert sorted(width for _, width in seen) == [3 * BLOCK + margin, 6 * BLOCK + margin]
    torch.testing.assert_close(cuts[0][..., 3 * BLOCK :], cuts[1][..., : 3 * BLOCK], rtol=0, atol=0)


def test_after_a_failed_encoding_a_waiting_thread_tries_itself(nets, monkeypatch):
    features = CachedFeatures(nets[0].net, torch.rand(1, 3, BLOCK, BLOCK), FeatureStore())
    encode, began, fail = nets[0].net.encode, threading.Event(), threading.Event()

    def fail_once(lq, *margins):
        if not began.is_set():
            began.set()
            fail.wait(30)
            raise MemoryError
        return encode(lq, *margins)

    monkeypatch.setattr(nets[0].net, "encode", fail_once)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(features.crop, (0, BLOCK), (0, BLOCK))
        began.wait(30)
        second = pool.submit(features.crop, (0, BLOCK), (0, BLOCK))
        fail.set()
        assert second.result(30).shape[-2:] == (BLOCK, BLOCK)
        with pytest.raises(MemoryError):
            first.result(30)


def test_an_encoder_of_unknown_receptive_field_encodes_the_whole_picture_once(nets, seen, monkeypatch):
    monkeypatch.setattr(nets[0].net.encoder, "reach", None)
    lq = torch.rand(1, 3, 70, 50)
    features = CachedFeatures(nets[0].net, lq, FeatureStore())
    whole = features.crop((0, 70), (0, 50))
    torch.testing.assert_close(features.crop((20, 33), (7, 50)), whole[..., 20:33, 7:50], rtol=0, atol=0)
    assert seen == [(70, 50)]


def test_features_of_all_pictures_share_one_memory_limit(nets):
    store = FeatureStore(max_bytes=0)
    first, second = (CachedFeatures(nets[0].net, torch.rand(1, 3, 19 * BLOCK, 7 * BLOCK), store) for _ in range(2))
    size = first.crop((0, 1), (0, 1)).shape[1] * 4 * BLOCK**2
    store.max_bytes = 10 * size
    for features in (first, second):
        features.crop((0, 19 * BLOCK), (0, 7 * BLOCK))
        assert len(store.blocks) == 10
        assert store.bytes <= store.max_bytes
    assert {owner for owner, _ in store.blocks} == {second.owner}


def test_a_closed_picture_keeps_no_memory(nets):
    store = FeatureStore()
    first, second = (CachedFeatures(nets[0].net, torch.rand(1, 3, 100, 100), store) for _ in range(2))
    for features in (first, second):
        features.crop((0, 100), (0, 100))
    first.forget()
    assert store.bytes == sum(block.nbytes for block in store.blocks.values()) > 0
    second.forget()
    assert (store.bytes, len(store.blocks)) == (0, 0)


def test_a_block_that_is_computed_again_counts_once():
    store = FeatureStore()
    for _ in range(2):
        store.put(0, (1, 2), torch.zeros(1, 3, 4, 4))
    assert (store.bytes, len(store.blocks)) == (3 * 4 * 4 * 4, 1)


def test_a_picture_that_is_closed_while_it_is_encoded_keeps_no_memory(nets, monkeypatch):
    store = FeatureStore()
    features = CachedFeatures(nets[0].net, torch.rand(1, 3, BLOCK, BLOCK), store)
    encode = nets[0].net.encode
    monkeypatch.setattr(nets[0].net, "encode", lambda *args: features.forget() or encode(*args))
    assert features.crop((0, BLOCK), (0, BLOCK)).shape[-2:] == (BLOCK, BLOCK)
    assert (store.bytes, len(store.blocks)) == (0, 0)
