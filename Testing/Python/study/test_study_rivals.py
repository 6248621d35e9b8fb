"""A user's own ImageNet network as a row of the study: loaded strictly, its classifier off, resumed, judged."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import msgspec
import pytest
import torch
from study_makers import embed_all, make_configuration
from torch import nn

from MemorySurvivalLib.errors import InputError, WeightsError
from MemorySurvivalLib.study import __main__ as study
from MemorySurvivalLib.study import rivals
from MemorySurvivalLib.study.configuration import StudyConfiguration
from MemorySurvivalLib.study.rival_network import RivalNetwork, load_rival
from MemorySurvivalLib.study.rivals import judge_rival

PATIENTS = 40


class SmallNet(nn.Module):
    """A stand-in for a ResNet: features of four channels, a classifier named `fc`."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.conv = nn.Conv2d(3, 4, 3, stride=8)
        self.fc = nn.Linear(4, 10)
        self.default_cfg = {"input_size": (3, 96, 96), "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.fc(self.conv(pictures).mean(dim=(2, 3)))
        return found

    def reset_classifier(self, classes: int) -> None:
        assert classes == 0
        self.fc = nn.Identity()  # type: ignore[assignment]


class NoClassifier(nn.Module):
    """A network whose last layer nobody knows by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(2, 2)


def make(name: str, **_: Any) -> nn.Module:
    if name == "none":
        return NoClassifier()
    if name != "small":
        raise ValueError(f"Unknown model {name}")
    return SmallNet()


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    vision, timm = ModuleType("torchvision"), ModuleType("timm")
    vision.models = SimpleNamespace(get_model=make)  # type: ignore[attr-defined]
    timm.create_model = make  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", vision)
    monkeypatch.setitem(sys.modules, "timm", timm)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "small.pth"
    torch.save(SmallNet().state_dict(), path)
    return path


@pytest.fixture(scope="module")
def configuration() -> StudyConfiguration:
    return make_configuration(PATIENTS)


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize(("name", "side", "mean"), [("torchvision:small", 224, 0.485), ("timm:small", 96, 0.5)])
def test_features_are_those_before_the_classifier(weights: Path, name: str, side: int, mean: float) -> None:
    rival = load_rival(name, weights)
    assert (rival.image_size, rival.mean[0], len(rival.sha256)) == (side, mean, 64)
    grey = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(1))
    whole = SmallNet()
    means, sds = (torch.tensor(values)[None, :, None, None] for values in (rival.mean, rival.sd))
    expected = whole.conv((grey.expand(-1, 3, -1, -1) - means) / sds).mean(dim=(2, 3))
    torch.testing.assert_close(rival.features(grey), expected)


@pytest.mark.usefixtures("libraries")
def test_what_cannot_be_loaded_is_said(tmp_path: Path, weights: Path) -> None:
    for name in ("resnet50", "keras:resnet50", "timm:"):
        with pytest.raises(InputError, match="names no network; write torchvision:NAME or timm:NAME"):
            load_rival(name, weights)
    with pytest.raises(InputError, match="timm has no network 'vast'"):
        load_rival("timm:vast", weights)
    other = tmp_path / "other.pth"
    torch.save({"conv.weight": torch.zeros(1)}, other)
    with pytest.raises(InputError, match="do not fit torchvision:small"):
        load_rival("torchvision:small", other)
    torch.save(NoClassifier().state_dict(), other)
    with pytest.raises(InputError, match="no classifier by a name that is known"):
        load_rival("torchvision:none", other)
    other.write_text("no weights")
    with pytest.raises(WeightsError):
        load_rival("torchvision:small", other)


def test_a_library_that_is_not_installed_is_said(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match="timm cannot be used here"):
        load_rival("timm:small", weights)


def test_a_rival_is_judged_beside_the_studys_rows_and_goes_on(
    configuration: StudyConfiguration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed_all(configuration, tmp_path)
    made: list[tuple[str, int]] = []

    def embed(_: object, __: object, ___: object, cohort: str, number: int, path: Path) -> None:
        made.append((cohort, number))
        generator = torch.Generator().manual_seed(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        found = {m: torch.randn(6, generator=generator).half() for m in ("PET", "CT")}
        rivals.safetensors.torch.save_file(found, path)

    monkeypatch.setattr(rivals, "_embed", embed)
    network = RivalNetwork("timm:small", "0" * 64, nn.Identity(), 96, (0.5,) * 3, (0.5,) * 3)
    out = tmp_path / "results"
    nothing = judge_rival(configuration, network, tmp_path, out, patients=PATIENTS, minutes=0)
    assert (nothing.reached, nothing.wanted, nothing.rows, made) == (0, 80, (), [])
    result = judge_rival(configuration, network, tmp_path, out, patients=PATIENTS)
    assert len(made) == 80 and result.reached == 80
    names = [row.model for row in result.rows]
    assert names[:4] == [f"timm:small: {what}" for what in ("PET", "CT", "PET+CT", "PET+CT + statistics")]
    assert set(names[4:]) == {"statistics", "embedding"}
    assert all(0 <= row.low <= row.c <= row.high <= 1 for row in result.rows)
    kept = msgspec.json.decode((out / "rivals" / "timm-small-000000000000" / "result.json").read_bytes())
    assert "Simulated patients" in kept["notice"] and kept["rows"][0]["c"] == result.rows[0].c
    again = judge_rival(configuration, network, tmp_path, out, patients=PATIENTS)
    assert len(made) == 80 and again == result
    with pytest.raises(InputError, match="Only 40 patients of main-dev are embedded"):
        judge_rival(configuration, network, tmp_path, out, patients=50)


@pytest.mark.usefixtures("libraries")
def test_the_command_reads_simulated_slices(
    configuration: StudyConfiguration,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One patient's real images through the network, so that slices, windows and regions are those of the study."""
    embed_all(configuration, tmp_path)
    monkeypatch.setattr(study, "load_configuration", lambda: configuration)
    real, done = rivals._embed, []

    def once(settings: Any, baseline: Any, rival: Any, cohort: str, number: int, path: Path) -> None:
        if not done:
            path.parent.mkdir(parents=True, exist_ok=True)
            real(settings, baseline, rival, cohort, number, path)
            done.append(path)

    monkeypatch.setattr(rivals, "_embed", once)
    given = ["rival", "--network", "timm:small", "--weights", str(weights), "--parts", str(tmp_path)]
    assert study.main([*given, "--out", str(tmp_path / "out"), "--patients", "25"]) == 0
    said = msgspec.json.decode(capsys.readouterr().out)
    assert (said["reached"], said["wanted"], said["rows"]) == (1, 50, [])
    found = rivals.safetensors.torch.load_file(done[0])
    assert {key: tuple(value.shape) for key, value in found.items()} == {"PET": (4,), "CT": (4,)}
    assert not torch.equal(found["PET"], found["CT"])
