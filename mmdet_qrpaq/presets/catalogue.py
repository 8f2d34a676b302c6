"""Which presets there are, and how one is written. Standard library only."""

from dataclasses import dataclass

from ..errors import ConfigError, check_number


@dataclass(frozen=True)
class Number:
    """The one number of a preset, set by `NAME=NUMBER`.

    Attributes:
        meaning: What it is, with its unit.
        default: It, where only the name is given.
        least: The smallest that works.
        most: The largest.
    """

    meaning: str
    default: float
    least: float
    most: float


@dataclass(frozen=True)
class Preset:
    """A preset by name.

    Attributes:
        module: Of this room; its function of the preset's name does the work.
        number: What can be set.
        not_with: Another one that it cannot go with.
    """

    module: str
    number: Number | None = None
    not_with: str | None = None


# In the order in which they are applied: what asks for the length of a run comes last.
PRESETS = {
    'small_data': Preset('small_data', Number('epochs at least', 50, 1, 100_000)),
    'gradient_accumulation': Preset(
        'steps', Number('mini-batches an update', 4, 1, 1024)
    ),
    'amp': Preset('steps', not_with='bf16'),
    'bf16': Preset('steps', not_with='amp'),
    'activation_checkpointing': Preset('activations'),
    'ema': Preset(
        'averages', Number('momentum', 0.0002, 1e-6, 0.5), 'checkpoint_averaging'
    ),
    'checkpoint_averaging': Preset(
        'averages', Number('share of the run, its end', 0.25, 0.01, 1), 'ema'
    ),
    'early_stopping': Preset(
        'stopping', Number('validations without a gain', 10, 1, 10_000)
    ),
    'tensorboard': Preset('loggers'),
    'mlflow': Preset('loggers'),
    'wandb_offline': Preset('loggers'),
}


def read_preset(word: str) -> tuple[str, float | None]:
    """Return the name and the number in `NAME` or `NAME=NUMBER`.

    Raises:
        ConfigError: There is no such preset, or not with this number.
    """
    name, equals, text = str(word).partition('=')
    if name not in PRESETS:
        raise ConfigError(f'there is no preset {name!r}; use {", ".join(PRESETS)}.')
    number = PRESETS[name].number
    if not equals:
        return name, number and number.default
    if number is None:
        raise ConfigError(f'preset {name} takes no number; write {name} alone.')
    value = _number(text)
    check_number(
        *(f'preset {name}', value, number.least, number.most),
        whole=isinstance(number.default, int),
        hint=f'{number.meaning}; by itself {number.default:g}',
    )
    return name, value


def _number(text: str) -> int | float | str:
    try:
        value = float(text)
    except ValueError:
        return text
    if '_' in text:  # Python's own
        return text
    return int(value) if value.is_integer() else value
