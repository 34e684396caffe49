"""What the demo prints while it keeps serving: URLs, lines to paste, and a line for each client."""

from __future__ import annotations

from rich.console import Console

from modelmux.cli.connect.table import clients
from modelmux.cli.demo.program import NAME, Program
from modelmux.cli.demo.tour import MODEL

#: Where ``connect`` expects a gateway.
_USUAL_PORT = ":3000"


def print_next_steps(console: Console, url: str, link: str, program: Program) -> None:
    """What a newcomer can paste right now. No line is wrapped: one that was could not be copied."""
    base_url = f"{url}/v1"
    console.rule("[bold]The gateway keeps serving[/bold]")
    console.print(f"OpenAI base URL     [bold]{base_url}[/bold]   for Chat Completions and Responses", soft_wrap=True)
    console.print(f"Anthropic base URL  [bold]{url}[/bold]      for Messages", soft_wrap=True)
    console.print("Any API key will do, until the dashboard has one; nothing leaves this machine.", soft_wrap=True)
    console.print("Dashboard, where you sign in once, within ten minutes:", style="bold", soft_wrap=True)
    _line(console, link)
    console.print("A gateway of your own has it with accounts, or without by admin.listen.", soft_wrap=True)
    console.print("curl:", style="bold")
    body = f'{{"model":"{MODEL}","max_tokens":200,"messages":[{{"role":"user","content":"Hello!"}}]}}'
    _line(console, f"curl {base_url}/chat/completions -H 'content-type: application/json' -d '{body}'")
    console.print("Python, with the openai package:", style="bold")
    arguments = f'model="{MODEL}", messages=[{{"role": "user", "content": "Hello!"}}]'
    for line in (
        "from openai import OpenAI",
        f'client = OpenAI(base_url="{base_url}", api_key="demo")',
        f"print(client.chat.completions.create({arguments}).choices[0].message.content)",
        f'print(client.responses.create(model="{MODEL}", input="Hello!").output_text)',
    ):
        _line(console, line)
    _print_program(console, program)
    console.print(
        "Other clients, in another terminal, after `export MODELMUX_KEY=unused`:", style="bold", soft_wrap=True
    )
    for line in (chat_line(url, program), *client_lines(url, program, console.width)):
        _line(console, line)
    console.print("Press Ctrl-C to stop.", style="dim")


def chat_line(url: str, program: Program) -> str:
    """The command that talks to a model through this gateway."""
    return f'{program.command} chat{_url_option(url)} "Hello!"'


def _url_option(url: str) -> str:
    return "" if url.endswith(_USUAL_PORT) else f" --url {url}"


def client_lines(url: str, program: Program, width: int) -> list[str]:
    """For each client of ``modelmux connect``, the command that prints its settings; and its title, if all of them fit
    into the width."""
    table = clients()
    commands = {name: f"{program.command} connect {name}{_url_option(url)}" for name in table.names}
    longest = max(map(len, commands.values()))
    titled = [f"{command:<{longest}}  # {table.modes(name)[0].title}" for name, command in commands.items()]
    return titled if max(map(len, titled)) <= width else list(commands.values())


def _print_program(console: Console, program: Program) -> None:
    if program.command == NAME:
        return
    steps = [f"here it is {program.command}"]
    if program.activate:
        steps.append(f"`{program.activate}` adds it to one terminal")
    steps.append("`pipx install .` or `uv tool install .` in the checkout installs it")
    console.print(f"[yellow]`{NAME}` is not on your PATH[/yellow]: {'; '.join(steps)}.", soft_wrap=True)


def _line(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, markup=False)
