"""What can go wrong, as one tree. Every message says what came, what was expected, and what to do.

HeedfulError                       anything that Heedful itself reports; the command line prints it without a traceback
|-- UserError                      what the user gave is wrong: exit 2
|   |-- SettingsError              heedful.toml, --set, an unknown or impossible setting
|   |-- InputError                 a file, a row or a field that cannot be read as what it should be
|   |-- ProjectError               no project here, a project in use, a stage asked for that does not exist
|   |-- ModelError                 a model that is not installed, not found, or not what was expected
|   |   `-- TemplateMismatchError       the chat template differs from the one that the checkpoint was trained with
|   |-- RequirementError           a requirement that cannot be parsed, or that contradicts another one
|   `-- NothingToTrainError             the token ledger says that training would teach nothing
`-- RunError                       it failed otherwise: exit 1
    |-- StorageError               disk full, no permission, a damaged artefact
    |-- StoppedError               asked to stop (SIGTERM), and stopped with everything saved: exit 143
    |-- EngineError                generation or scoring failed, after what could be retried was retried
    `-- ShortfallError             fewer accepted rows than asked for, where that was declared an error
"""


class HeedfulError(Exception):
    """Base of all errors that Heedful reports. `exit_code` is what the command line returns."""

    exit_code = 1


class UserError(HeedfulError):
    """What the user gave is wrong."""

    exit_code = 2


class SettingsError(UserError):
    """An unknown or impossible setting."""


class InputError(UserError):
    """A file, a row or a field that cannot be read as what it should be."""


class ProjectError(UserError):
    """No project here, a project in use, or an unknown stage."""


class ModelError(UserError):
    """A model that is not installed, not found, or not what was expected."""


class TemplateMismatchError(ModelError):
    """The chat template differs from the one that the checkpoint was trained with."""


class RequirementError(UserError):
    """A requirement that cannot be parsed, or that contradicts another one."""


class NothingToTrainError(UserError):
    """The token ledger says that training would teach nothing, or would never teach the model to stop."""


class RunError(HeedfulError):
    """It failed for a reason that is not in what the user gave."""


class StorageError(RunError):
    """Disk full, no permission, or a damaged artefact."""


class StoppedError(RunError):
    """Somebody asked the process to stop; what it had done is saved."""

    exit_code = 143


class EngineError(RunError):
    """Generation or scoring failed, after what could be retried was retried."""


class ShortfallError(RunError):
    """Fewer accepted rows than asked for, where that was declared an error."""
