import json

COMMAND = ("demo",)


def test_demo_writes_all_it_names(values, model, tmp_path):
    small = ("--frames", 1, "--side", 64, "--device", "cpu", "--no-open")
    summary = values("--out", tmp_path, "-m", model, *small)
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    assert set(summary["dice"]) == {"ipsc", "dfc"}
    names = {"images.tif", "truth.tif", "masks.tif", "masks.zarr", "overlay.png", "tokens.gif"}
    assert {path.name for path in tmp_path.iterdir()} == names | {
        "masks.objects.csv",
        "summary.json",
    }
