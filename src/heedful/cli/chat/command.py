"""`heedful chat`: its options, and what it needs to begin."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from heedful.cli.requiring import AutoRequireOption
from heedful.cli.session import HERE, PrecisionOption, ProjectOption, Session, SetOption, opened

_MAX_TOKENS = 512


def register(app: typer.Typer) -> None:
    """Add `chat` to `app`."""
    app.command("chat")(chat)


def chat(
    context: typer.Context,
    model: Annotated[
        str, typer.Option("--model", metavar="NAME", help="tuned, base, or a model's name or folder.")
    ] = "tuned",
    system: Annotated[
        str, typer.Option("--system", metavar="TEXT", help="What the model is told before everything else.")
    ] = "",
    temperature: Annotated[float, typer.Option("--temperature", min=0.0, help="0 is greedy.")] = 0.0,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Longest answer, in tokens.")] = _MAX_TOKENS,
    auto_require: AutoRequireOption = False,
    precision: PrecisionOption = "fastest",
    project: ProjectOption = HERE,
    overrides: SetOption = [],  # noqa: B006  (typer copies it)
) -> None:
    """Talk with the tuned model. What is said and rated is kept; lines from a pipe are answered one by one."""
    from heedful.cli.chat.conversation import Chat
    from heedful.cli.chat.dialogue import Dialogue
    from heedful.cli.chat.reading import reader_for, sound
    from heedful.cli.chat.screen import Screen
    from heedful.cli.chat.voices import Voices
    from heedful.feedback.store import Store
    from heedful.generate.engine import Sampling
    from heedful.pipeline.engines import described

    session: Session = context.obj
    opened_project, settings = opened(project, overrides)
    voices = Voices(opened_project, settings, session.watcher, precision)
    store = Store(settings.serve.store_url(opened_project))
    try:
        voice = voices.voice(model)
        session.close()
        reader = reader_for(opened_project.state / "chat_history")
        screen = Screen(interactive=reader.interactive)
        help = " /help lists commands; Ctrl-D leaves." if reader.interactive else ""
        screen.remark(f"{voices.describe(voice.id)} answers, with {described(voice.engine)}.{help}")
        sampling = Sampling(temperature=temperature, max_tokens=max_tokens)
        talk = Chat(store, voice, system=sound(system), sampling=sampling, auto_require=auto_require)
        Dialogue(talk, voices, reader, screen).run()
    except BrokenPipeError:
        # Whoever read the answers has gone; what was said is kept, and Python must not write the rest when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    finally:
        voices.close()
        store.close()
