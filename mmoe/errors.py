"""The exceptions a caller can act on. Each message names the field, the value and the fix."""


class MmoeError(Exception):
    """Base of every error this package raises on purpose; the command line turns it into exit code 1."""


class SettingsError(MmoeError, ValueError):
    """An MMOE_* environment variable has an unusable value."""


class ConfigError(MmoeError, ValueError):
    """params.yaml has an unknown key or an unusable value."""


class SchemaError(MmoeError, ValueError):
    """A schema file has an unknown key or an unusable value, or data does not fit the schema."""


class LakeError(MmoeError):
    """The lake refuses or cannot do what was asked."""


class PartitionMissingError(LakeError):
    """No published partition (or no landing file) exists for the day."""


class PartitionExpiredError(LakeError):
    """The day lies behind the retention horizon: it can be neither read nor written again."""


class CorruptionError(LakeError):
    """Stored bytes are not what their manifest or ledger says."""


class TrainingError(MmoeError):
    """Training cannot start or go on."""


class EvaluationError(MmoeError, ValueError):
    """Score sets or gate rules cannot be evaluated."""


class NoScoresError(EvaluationError):
    """A side of a comparison has no scores at all."""


class RegistryError(MmoeError):
    """The model registry refuses or lacks what was asked."""


class MonitoringError(MmoeError):
    """An alarm: the champion or its data need a person's attention."""
