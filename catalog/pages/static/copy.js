// A link to what is shown is copied when it is clicked; where it cannot be, it stays a link.
"use strict";
document.querySelector("a.copy")?.addEventListener("click", (event) => {
  if (!navigator.clipboard || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const link = event.currentTarget;
  navigator.clipboard.writeText(location.href).then(
    () => { link.textContent = link.dataset.copied; },
    () => { location.href = link.href; },
  );
});
