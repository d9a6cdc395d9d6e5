// Ctrl-Enter asks; Tab stays what it is everywhere.
"use strict";
document.querySelector(".editor textarea")?.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    event.target.form.requestSubmit();
  }
});
