// Which runs a spec has, told from the lenses that the server puts above them.

const PLAN_COMMAND = "moec.plan";

/** The name of the only run, or of the one that `pick` picks; null where there is none, undefined where none is picked. */
async function askForRun(lenses, pick) {
  const commands = lenses.map((lens) => lens.command).filter((command) => command?.command === PLAN_COMMAND);
  const names = [...new Set(commands.map((command) => command.arguments[1]))];
  if (names.length === 0) return null;
  return names.length === 1 ? names[0] : pick(names);
}

module.exports = { askForRun };
