// The frame's boxes that scroll are landmarks that are all called the same, and lists of tabs have no name: each is
// called after its own heading.
"use strict";

window.addEventListener("load", () => {
    const taken = new Set();
    for (const box of document.querySelectorAll(".simplebar-content-wrapper[role=region], #main nav:not([aria-label])")) {
        const group = box.closest("nav, aside, [data-inline-type], [id$=-group]");
        const title = (group?.querySelector("h2, h3") ?? document.querySelector("h1"))?.textContent.trim() ?? "";
        let name = title, number = 1;
        while (taken.has(name)) name = `${title} ${++number}`;
        taken.add(name);
        box.setAttribute("aria-label", name);
    }
});
