"""The broker's commands are found late, and a mistyped one is guessed."""

from click.testing import CliRunner

from countermark_broker.cli import main


def test_a_mistyped_command_is_guessed():
    result = CliRunner().invoke(main, ["serv"])
    assert result.exit_code == 2
    assert "Did you mean" in result.output
    assert "serve" in result.output


def test_the_help_lists_all_commands_and_each_is_found():
    shown = CliRunner().invoke(main, ["--help"]).output
    for name in main.commands:
        assert f"\n  {name} " in shown
        assert main.commands[name].name == name
