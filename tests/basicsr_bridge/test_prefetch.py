"""A training with ``prefetch_mode: cpu`` exits while its thread still loads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from basicsr.data import prefetch_dataloader

ROOT = Path(__file__).parents[2]

SCRIPT = """
import sys
import time
import torch
import clit_plugin
from basicsr.data.prefetch_dataloader import CPUPrefetcher, PrefetchDataLoader

class Endless(torch.utils.data.Dataset):
    def __len__(self):
        return 10**9

    def __getitem__(self, index):
        return torch.rand(3, 64, 64).sum() * torch.ones(3, 200, 200)

ready = int(sys.argv[1])
loader = PrefetchDataLoader(num_prefetch_queue=ready, dataset=Endless(), batch_size=4, sampler=range(10**9))
prefetcher = CPUPrefetcher(loader)
print(tuple(prefetcher.next().shape))
if ready < 3:
    time.sleep(0.5)  # until the queue is full
"""


@pytest.mark.parametrize("ready", [1, 1000])
def test_python_exits_cleanly_while_the_prefetch_thread_loads_or_waits(ready):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT, str(ready)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "(4, 3, 200, 200)\n", "")


def test_an_epoch_has_every_batch_once():
    loader = prefetch_dataloader.PrefetchDataLoader(num_prefetch_queue=2, dataset=torch.arange(7), batch_size=2)
    prefetcher = prefetch_dataloader.CPUPrefetcher(loader)
    for _ in range(2):
        batches = []
        while (batch := prefetcher.next()) is not None:
            batches.append(batch.tolist())
        assert batches == [[0, 1], [2, 3], [4, 5], [6]]
        prefetcher.reset()
