// Copying: what its buttons do.

const SHOWN = 1500; // milliseconds that a button says what it did
const LABEL = "Copy";

/** Copy a text, and have the button say so. */
export async function copy(text, button) {
  const done = (await copied(text)) ? "Copied" : "Press Ctrl+C";
  button.textContent = done;
  setTimeout(() => {
    button.textContent = LABEL;
  }, SHOWN);
  return done;
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text); // absent where the page came over plain http from another machine
    return true;
  } catch {
    return copiedBySelection(text);
  }
}

function copiedBySelection(text) {
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "unseen";
  const focused = document.activeElement;
  document.body.append(field);
  field.select();
  const worked = document.execCommand("copy");
  field.remove();
  focused?.focus();
  return worked;
}
