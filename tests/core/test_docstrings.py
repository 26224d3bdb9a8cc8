from dataclasses import dataclass

from rleseg_core.docstrings import field_descriptions


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How something is done.

    Parameters
    ----------
    steps : int
        How often : in all,
        from 1.

        Even numbers are faster.
    rate, share : float
        How fast.
    stranger : str
        Is no field.
    name : {'a', 'b'}

    Raises
    ------
    share
        Is no error.
    """

    steps: int = 3
    rate: float = 0.5
    share: float = 0.25
    name: str = "a"
    silent: int = 0


@dataclass
class Undescribed:
    steps: int = 3


def test_fields_are_described_by_the_section_parameters():
    assert field_descriptions(Settings) == {
        "steps": "How often : in all, from 1. Even numbers are faster.",
        "rate": "How fast.",
        "share": "How fast.",
    }


def test_dataclass_without_a_docstring_describes_nothing():
    assert field_descriptions(Undescribed) == {}
