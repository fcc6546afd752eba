// A part of a page that lives: asked for again while somebody looks. With `data-stream` when the server says that
// something has changed, else every two seconds.
"use strict";

(() => {
    const live = document.querySelector("[data-live]");
    if (!live) return;
    const BREATH = 1000, OFTEN = 2000, SURELY = 30000, LATER = 3000;
    const pause = (time) => new Promise((done) => { setTimeout(done, time); });

    // --- What somebody is doing there is not disturbed ---
    const busy = () => {
        const open = live.querySelector("details[data-user-open]");
        const inside = live.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");
        return Boolean(open) || inside || String(window.getSelection()).length > 0;
    };
    live.addEventListener("toggle", (event) => {
        if (event.target.open) event.target.dataset.userOpen = "1";
        else delete event.target.dataset.userOpen;
    }, true);

    // --- Putting it there: rows that are the same stay, and what one looks at keeps its place ---
    // Each answer carries a fresh token against forgery: that alone is no change.
    const plain = (text) => text.replace(/name="csrfmiddlewaretoken" value="[^"]*"/g, "");
    const rowsOf = (part) => new Map([...part.querySelectorAll("[data-row]")].map((row) => [row.dataset.row, row]));
    const topOf = (row) => row.getBoundingClientRect().top;
    const inSight = () => [...live.querySelectorAll("[data-row]")].find((row) => topOf(row) >= 0);
    const scroller = () => {
        let box = live.parentElement;
        while (box && !(box.scrollTop > 0)) box = box.parentElement;
        return box;
    };
    const put = (text) => {
        const fresh = document.createElement("template");
        fresh.innerHTML = text;
        const before = rowsOf(live), focused = live.contains(document.activeElement) ? document.activeElement : null;
        const box = scroller(), kept = box && inSight()?.dataset.row, top = kept && topOf(before.get(kept));
        for (const [key, row] of rowsOf(fresh.content)) {
            const same = before.get(key);
            if (same && plain(same.outerHTML) === plain(row.outerHTML)) row.replaceWith(same);
        }
        live.replaceChildren(fresh.content);
        const now = kept && rowsOf(live).get(kept);
        if (now) box.scrollTop += topOf(now) - top;
        if (focused?.isConnected) focused.focus({ preventScroll: true });
        else if (focused?.dataset.play) live.querySelector(`[data-play="${focused.dataset.play}"]`)?.focus({ preventScroll: true });
        document.dispatchEvent(new Event("callbridge:refreshed"));
    };

    // --- Asking for it: one question at a time, one a second at most, none while nobody looks ---
    let last = "", stale = false, working = false;
    const ask = async () => {
        try {
            const answer = await fetch(live.dataset.live, { headers: { "X-Part": "1" }, credentials: "same-origin" });
            if (!answer.ok || answer.redirected) return;
            const text = await answer.text();
            if (plain(text) === last) return;
            if (busy()) stale = true;
            else {
                put(text);
                last = plain(text);
            }
        } catch { /* the next try may reach the server */ }
    };
    const refresh = async () => {
        stale = true;
        if (working) return;
        working = true;
        while (stale && !document.hidden) {
            if (!busy()) {
                stale = false;
                await ask();
            }
            await pause(BREATH);
        }
        working = false;
    };

    // --- The stream: closed while nobody looks, so that a hidden tab costs nothing ---
    let source = null;
    const listen = () => {
        if (source || document.hidden) return;
        source = new EventSource(live.dataset.stream);
        source.addEventListener("open", refresh);  // what changed since the page was made
        source.addEventListener("changed", refresh);
        source.addEventListener("over", () => location.reload());
        source.addEventListener("error", () => {
            if (source?.readyState !== EventSource.CLOSED) return;
            source = null;
            setTimeout(listen, LATER);
        });
    };
    const hang = () => {
        source?.close();
        source = null;
    };
    if (live.dataset.stream) {
        listen();
        document.addEventListener("visibilitychange", () => (document.hidden ? hang() : listen()));
        window.addEventListener("pagehide", hang);
        window.addEventListener("pageshow", listen);
        setInterval(refresh, SURELY);
    } else {
        document.addEventListener("visibilitychange", refresh);
        setInterval(refresh, OFTEN);
    }
})();
