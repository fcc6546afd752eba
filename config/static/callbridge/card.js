// The page of live calls: told by the server which call has changed, it asks for that call's card.
import { ring as sounds, wake } from "./ring.js";

(() => {
    const board = document.getElementById("board");
    if (!board) return;
    const cards = document.getElementById("cards");
    const byId = (id) => document.getElementById(id);
    const cardOf = (call) => cards.querySelector(`[data-card="${CSS.escape(call)}"]`);
    const all = () => [...cards.querySelectorAll("[data-card]")];
    const rings = () => all().filter((card) => "rings" in card.dataset);
    const list = (store, key) => { try { return JSON.parse(store.getItem(key)) || []; } catch { return []; } };
    const others = (store, key, call) => list(store, key).filter((other) => other !== call);
    const note = (store, key, call) => store.setItem(key, JSON.stringify([...others(store, key, call), call].slice(-50)));
    const forget = (store, key, call) => store.setItem(key, JSON.stringify(others(store, key, call)));

    // --- Cards that were closed stay closed, in all windows; those of this window outlive its reloading ---
    const CLOSED = "callbridge-closed-cards", SHOWN = "callbridge-shown-cards";
    const closed = (call) => list(localStorage, CLOSED).includes(call);
    const remove = (card) => {
        forget(sessionStorage, SHOWN, card.dataset.card);
        card.remove();
    };
    document.addEventListener("click", (event) => {
        const card = event.target.closest("[data-dismiss]")?.closest("[data-card]");
        if (!card) return;
        note(localStorage, CLOSED, card.dataset.card);
        remove(card);
    });
    window.addEventListener("storage", (event) => {
        if (event.key === CLOSED) all().filter((card) => closed(card.dataset.card)).forEach(remove);
    });

    // --- A card takes the place of its older self; what somebody is writing into it is kept ---
    const written = (control) => control.type !== "hidden" && (control.value !== (control.defaultValue ?? ""));
    const carryOver = (before, after) => {
        const focused = before.contains(document.activeElement) ? document.activeElement : null;
        for (const details of before.querySelectorAll("details[data-details]")) {
            const same = after.querySelector(`details[data-details="${details.dataset.details}"]`);
            same?.toggleAttribute("open", details.open);
        }
        for (const control of before.querySelectorAll("input, select, textarea")) {
            const same = [...after.querySelectorAll(`[name="${control.name}"]`)]
                .find((other) => other.form?.action === control.form?.action);
            if (!same) continue;
            // A form that somebody has written into stays the one that it was: sent twice, it is one.
            const kept = control.name === "token" && [...control.form.elements].some(written);
            if (kept || written(control)) same.value = control.value;
            if (control === focused) {
                same.focus({ preventScroll: true });
                if (control.selectionStart != null) same.setSelectionRange(control.selectionStart, control.selectionEnd);
            }
        }
        if (focused?.matches("button, a, summary")) {
            [...after.querySelectorAll(focused.tagName)]
                .find((other) => other.textContent === focused.textContent && other.form?.action === focused.form?.action)
                ?.focus({ preventScroll: true });
        }
    };
    const put = (fresh) => {
        const call = fresh.dataset.card, before = cardOf(call);
        if (closed(call)) {
            if (!["ringing", "talking"].includes(fresh.dataset.stage)) return;
            forget(localStorage, CLOSED, call);  // it has come back to this person
        }
        if (before) {
            before.after(fresh);
            carryOver(before, fresh);
            before.remove();
        } else {
            cards.append(fresh);  // no button moves away under somebody's finger
            byId("announced").textContent = `${fresh.dataset.title}, ${fresh.dataset.line}`;
        }
        note(sessionStorage, SHOWN, call);
        learn(fresh);
        heed(fresh);
        stepAside(fresh);
    };
    // What a colleague has answered goes by itself, unless somebody writes into it.
    const stepAside = (card) => {
        if (card.dataset.stage !== "elsewhere") return;
        setTimeout(() => {
            if (!card.isConnected) return;
            const busy = card.contains(document.activeElement) || [...card.querySelectorAll("input, textarea")].some(written);
            if (busy) stepAside(card);
            else remove(card);
        }, 15000);
    };
    // Who talks in this very page is not cut off.
    const reload = () => {
        const phone = byId("phone");
        if (phone && "busy" in phone.dataset) phone.addEventListener("idle", () => location.reload(), { once: true });
        else location.reload();
    };
    const read = (text) => {
        const template = document.createElement("template");
        template.innerHTML = text;
        return template.content.querySelector("[data-card]");
    };

    // --- Asking for a card; one question at a time for each call ---
    const asking = new Map();
    const ask = async (call) => {
        if (asking.has(call)) return asking.set(call, true);
        asking.set(call, false);
        try {
            const answer = await fetch(board.dataset.part + call, { headers: { "X-Part": "1" }, credentials: "same-origin" });
            const card = answer.ok ? read(await answer.text()) : null;
            if (card) put(card);
            else if (answer.redirected || answer.status === 403) reload();
        } catch { setTimeout(() => ask(call), 2000); }
        const again = asking.get(call);
        asking.delete(call);
        if (again) ask(call);
    };

    // --- The stream ---
    let place = "";
    const listen = () => {
        const address = board.dataset.stream;
        const source = new EventSource(place ? `${address}${address.includes("?") ? "&" : "?"}since=${place}` : address);
        source.addEventListener("open", () => {
            byId("cut").hidden = byId("full").hidden = true;
            for (const card of all()) if (card.dataset.stage !== "over") ask(card.dataset.card);
        });
        source.addEventListener("call", (event) => {
            place = event.lastEventId;
            const told = JSON.parse(event.data);
            if (cardOf(told.call)?.dataset.version !== String(told.version)) ask(told.call);
        });
        source.addEventListener("full", () => { byId("full").hidden = false; });
        source.addEventListener("over", () => reload());
        source.addEventListener("error", () => {
            if (byId("full").hidden) byId("cut").hidden = false;
            if (source.readyState !== EventSource.CLOSED) return;
            setTimeout(listen, 3000);
        });
    };

    // --- Buttons of a card work in their place ---
    document.addEventListener("submit", async (event) => {
        const form = event.target.closest("#cards form[data-inside]");
        if (!form || event.defaultPrevented) return;
        event.preventDefault();
        const { action } = form, { card: call } = form.closest("[data-card]").dataset;
        const data = new FormData(form);
        data.set("next", board.dataset.part + call);
        // What is sent is no draft any more: the stream may bring the card before the answer does.
        const typed = [...form.elements].filter((control) => control.name && (control.type !== "hidden" || control.name === "token")).map((control) => [control.name, control.value]);
        form.reset();
        form.closest("details")?.removeAttribute("open");
        for (const button of form.querySelectorAll("button")) button.disabled = true;
        byId("failed").hidden = true;
        try {
            const answer = await fetch(action, { method: "POST", body: data, headers: { "X-Part": "1" }, credentials: "same-origin" });
            const fresh = answer.ok ? read(await answer.text()) : null;
            if (fresh) put(fresh);
            else reload();
        } catch {
            byId("failed").hidden = false;
            const same = [...(cardOf(call)?.querySelectorAll("form") || [])].find((other) => other.action === action);
            if (!same) return;
            for (const [name, value] of typed) same.elements[name].value = value;
            for (const button of same.querySelectorAll("button")) button.disabled = false;
            same.closest("details")?.setAttribute("open", "");
        }
    });

    // --- The clock is the server's ---
    let ahead = 0;
    const learn = (element) => { ahead = Date.now() - Number(element.dataset.now); };
    const two = (number) => String(number).padStart(2, "0");
    const tick = () => {
        for (const clock of cards.querySelectorAll("[data-since]")) {
            const seconds = Math.max(0, Math.floor((Date.now() - ahead - Number(clock.dataset.since)) / 1000));
            const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
            clock.textContent = hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
        }
    };

    // --- Who works in another window: a notification, a title that changes, a sound if it is wished ---
    const title = document.title;
    const notices = new Map();
    const able = "Notification" in window && window.isSecureContext;
    const shownPermission = () => {
        byId("notify").hidden = !able || Notification.permission !== "default";
        byId("notified").hidden = !able || Notification.permission !== "granted";
    };
    byId("notify").addEventListener("click", async () => { await Notification.requestPermission(); shownPermission(); });
    const heed = (card) => {
        const call = card.dataset.card;
        if (!("rings" in card.dataset)) {
            notices.get(call)?.close();
            notices.delete(call);
        } else if (able && Notification.permission === "granted" && document.hidden && !notices.has(call)) {
            // Of several windows the last one's takes the place of the others' by its tag.
            const notice = new Notification(card.dataset.title, { body: card.dataset.line, tag: call });
            notice.addEventListener("click", () => { window.focus(); notice.close(); });
            notices.set(call, notice);
        }
        ring();
    };
    const sound = byId("sound");
    const SOUND = "callbridge-ring";
    sound.checked = localStorage.getItem(SOUND) === "1";
    sound.addEventListener("change", () => {
        localStorage.setItem(SOUND, sound.checked ? "1" : "");
        if (sound.checked) wake();
    });
    document.addEventListener("click", () => { if (sound.checked) wake(); }, { once: true });
    let beat = null;
    const ring = () => {
        if (!rings().length) {
            clearInterval(beat);
            beat = null;
            document.title = title;
            return;
        }
        if (beat) return;
        let on = false;
        beat = setInterval(() => {
            on = !on;
            document.title = on && document.hidden && rings().length ? `☎ ${rings()[0].dataset.title}` : title;
            if (on && sound.checked) sounds();
        }, 1000);
    };

    window.addEventListener("pageshow", (event) => { if (event.persisted) reload(); });
    learn(board);
    shownPermission();
    all().filter((card) => closed(card.dataset.card) && card.dataset.stage === "over").forEach(remove);
    for (const card of all()) {
        note(sessionStorage, SHOWN, card.dataset.card);
        heed(card);
    }
    for (const call of list(sessionStorage, SHOWN)) if (!cardOf(call) && !closed(call)) ask(call);
    setInterval(tick, 1000);
    tick();
    listen();
})();
