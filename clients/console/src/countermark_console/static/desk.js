// Photographs dropped on their form: the browser's own file input is filled, and the form sent.
for (const form of document.querySelectorAll("[data-cm-drop]")) {
  const input = form.querySelector('input[type="file"][multiple]');
  const over = (on) => form.classList.toggle("cm-drop--over", on);
  form.addEventListener("dragover", (event) => { event.preventDefault(); over(true); });
  form.addEventListener("dragleave", () => over(false));
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    over(false);
    if (event.dataTransfer && event.dataTransfer.files.length > 0) {
      input.files = event.dataTransfer.files;
      form.requestSubmit();
    }
  });
}
