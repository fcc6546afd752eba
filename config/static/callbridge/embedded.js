// Within a partner's page: it is told the step that is to be done, and how high our page is. Only its own addresses hear.
"use strict";

(() => {
    if (window.parent === window) return;
    const read = (id) => JSON.parse(document.getElementById(id)?.textContent ?? "null");
    const around = window.location.ancestorOrigins;
    const origins = (read("embedded-origins") ?? []).filter((origin) => !around || around.contains(origin));
    const tell = (told) => { for (const origin of origins) window.parent.postMessage(told, origin); };

    const told = read("embedded-told");
    if (told) tell(told);

    let height = 0;
    new ResizeObserver(() => {
        const now = Math.ceil(document.body.getBoundingClientRect().height);
        if (now !== height) tell({ type: "callbridge:height", height: (height = now) });
    }).observe(document.body);
})();
