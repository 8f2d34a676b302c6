"""The one error a user can mend: raised everywhere, printed alone by the tools."""


class ConfigError(ValueError):
    """A setting, path or file given by the user cannot work.

    The message is one sentence: what is wrong, where, and what to do. The tools
    print it without a traceback and exit with status 2.
    """
