"""The system of one's own in archs/README.md, run as it stands there."""

import re
from pathlib import Path

import torch
import yaml
from train_helpers import stage_options, train, write_images, write_yaml

PAGE = Path(__file__).parents[2] / "clit_plugin" / "archs" / "README.md"


def test_the_example_system_of_the_readme_trains_from_its_file_and_yaml(tmp_path, monkeypatch):
    section = PAGE.read_text().split("## Your own system")[1].split("\n## ")[0]
    code, options = (re.search(rf"```{kind}\n(.*?)```", section, re.S)[1] for kind in ("python", "yaml"))
    network = yaml.safe_load(options)["network_g"]
    del network["_delete_"]
    network["encoder"] |= {"num_feat": 6, "num_block": 1}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_system.py").write_text(code)
    run = stage_options(write_images(tmp_path / "hr", 2, (40, 44)), 1, name="user", total_iter=2)
    run |= {"network_g": network, "custom_imports": {"imports": ["my_system"]}}
    assert train("-opt", write_yaml(tmp_path / "run.yml", run)) == 0
    state = torch.load("experiments/user/models/net_g_latest.pth", weights_only=True)
    assert state["params"]["latent.weight"].shape == (96, 9 * 6)
    from basicsr.utils.registry import ARCH_REGISTRY

    nets = [
        ARCH_REGISTRY.get("MySystem")(encoder=network["encoder"], reference=reference).eval()
        for reference in (False, True)
    ]
    nets[1].load_state_dict(nets[0].state_dict())
    lq = torch.rand(1, 3, 5, 6)
    torch.testing.assert_close(nets[0].upscale(lq, (11, 17)), nets[1].upscale(lq, (11, 17)), rtol=0, atol=1e-5)
