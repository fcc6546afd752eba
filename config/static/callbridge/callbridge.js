// What our pages do in the browser: play recordings, open dependent fields, copy addresses. What lives is in live.js.
"use strict";

(() => {
    // --- Fields that depend on a switch or a choice ---
    const openDependents = () => {
        for (const field of document.querySelectorAll("[data-depends]")) {
            const master = document.getElementById(field.dataset.depends);
            if (master) field.hidden = !(master.type === "checkbox" ? master.checked : master.value);
        }
    };
    document.addEventListener("change", openDependents);
    openDependents();

    // --- Copy buttons ---
    document.addEventListener("click", async (event) => {
        const button = event.target.closest("[data-copy]");
        if (!button) return;
        await navigator.clipboard.writeText(button.dataset.copy);
        const words = button.querySelector("[data-words]") || button;
        const before = words.textContent;
        words.textContent = button.dataset.copied;
        setTimeout(() => { words.textContent = before; }, 1500);
    });

    // --- Forms that ask before they are sent, and filters that apply at once ---
    document.addEventListener("submit", (event) => {
        const words = event.submitter?.dataset.confirm || event.target.dataset.confirm;
        if (words && !window.confirm(words)) event.preventDefault();
    });
    document.addEventListener("change", (event) => {
        const form = event.target.closest("form[data-apply]");
        if (form && event.target.name && event.target.type !== "search") form.requestSubmit();
    });

    // --- A menu closes when one looks elsewhere ---
    const closeMenus = (event) => {
        for (const menu of document.querySelectorAll("details[data-menu][open]")) {
            if (event.key === "Escape" || !menu.contains(event.target)) menu.open = false;
        }
    };
    document.addEventListener("click", closeMenus);
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") closeMenus(event); });

    // --- The time zone that the browser is in, where none was chosen yet ---
    const zone = document.querySelector("[data-time-zone] select");
    const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (zone && [...zone.options].some((option) => option.value === here)) zone.value = here;

    // --- A long table narrowed to what its first two columns say ---
    document.addEventListener("input", (event) => {
        const table = document.getElementById(event.target.dataset.filter ?? "");
        if (!table) return;
        const sought = event.target.value.trim().toLowerCase();
        for (const row of table.tBodies[0].rows) {
            row.hidden = !`${row.cells[0].textContent} ${row.cells[1].textContent}`.toLowerCase().includes(sought);
        }
    });

    document.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && event.target.dataset?.filter) event.preventDefault();
    });

    // --- A planned call is given back to others when one looks elsewhere, unless its own button leads there ---
    let stays = false;
    document.addEventListener("submit", (event) => {
        if (event.target.closest("[data-leave]") && !event.defaultPrevented) stays = true;
    });
    window.addEventListener("pagehide", () => {
        const held = document.querySelector("[data-leave]");
        if (!held || stays) return;
        const token = held.querySelector("[name=csrfmiddlewaretoken]");
        navigator.sendBeacon(held.dataset.leave, new URLSearchParams({ csrfmiddlewaretoken: token.value }));
    });

    // --- One player for the page, so that a refreshed list does not interrupt it ---
    const player = document.getElementById("player");
    const audio = player?.querySelector("audio");
    const mark = () => {
        for (const button of document.querySelectorAll("[data-play]")) {
            const mine = audio && !audio.paused && audio.dataset.address === button.dataset.play;
            button.setAttribute("aria-pressed", String(Boolean(mine)));
            button.querySelector(".cb-icon").textContent = mine ? "pause" : "play_arrow";
        }
    };
    document.addEventListener("click", (event) => {
        if (event.target.closest("[data-close-player]")) {
            audio.pause();
            player.hidden = true;
            return;
        }
        const button = event.target.closest("[data-play]");
        if (!button || !audio) return;
        player.hidden = false;
        if (audio.dataset.address !== button.dataset.play) {
            audio.dataset.address = audio.src = player.querySelector("[data-download]").href = button.dataset.play;
            audio.play();
        } else if (audio.paused) {
            audio.play();
        } else {
            audio.pause();
        }
    });
    for (const name of ["play", "pause", "ended"]) audio?.addEventListener(name, mark);
    const speed = player?.querySelector("[data-speed]");
    const setSpeed = () => { audio.playbackRate = audio.defaultPlaybackRate = Number(speed.value); };
    speed?.addEventListener("change", () => { localStorage.setItem("cb-speed", speed.value); setSpeed(); });
    if (speed) {
        speed.value = localStorage.getItem("cb-speed") || "1";
        setSpeed();
    }
    document.addEventListener("callbridge:refreshed", mark);
})();
