import tifffile

COMMAND = ("synth",)


def test_synth_says_what_it_wrote(values, tmp_path):
    small = ("--frames", 2, "--height", 64, "--width", 80)
    written = values(tmp_path / "s", *small)
    assert tifffile.imread(written["images"]).shape == (2, 64, 80)
    assert written["class_names"] == ["ipsc", "dfc"]


def test_folder_that_cannot_be_made(refused, tmp_path):
    (tmp_path / "file").write_text("no folder")
    refused(tmp_path / "file" / "s", about="Not a directory")


def test_other_kinds_have_one_class(values, tmp_path):
    small = ("--frames", 2, "--height", 64, "--width", 64)
    written = values(tmp_path / "rods", *small, "--kind", "rods")
    assert written["class_names"] == ["bacterium"]
    assert tifffile.imread(written["classes"]).max() == 1
