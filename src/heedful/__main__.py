"""`python -m heedful`: the same as the `heedful` command."""

from heedful.cli.main import console

if __name__ == "__main__":
    console()
