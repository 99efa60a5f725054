// Forms that ask for a passkey. No script stands in the page, so `script-src 'self'` is enough:
//
//   <form method="post" data-passkey="create" (or "get") data-options="the options, as JSON">
//     <input type="hidden" name="passkey">
//     <p data-passkey-error>Passkeys need JavaScript.</p>
//     <button disabled>Go on</button>
//   </form>
//
// The button is off until the script has found that passkeys can be had. When the form is sent, the authenticator is asked first; what it
// answers goes along, as JSON, in `passkey`. If it doesn't answer, nothing is sent, and the element for errors says why: it is the script's own,
// so what the server has to say stands elsewhere.
"use strict";
(() => {
  const NONE = "This browser has no passkeys, or not on this page. Use a current one, and the page's usual address.";
  const WHY = {
    create: {
      NotAllowedError: "No passkey was made: it was stopped, took too long, or your device can't check that it is you. Try again.",
      InvalidStateError: "This device holds a passkey for you already. Use that one, or another device.",
      ConstraintError: "This device can't keep a passkey, or can't check that it is you. Set a screen lock or a PIN up on it, or use another.",
      NotSupportedError: "This device can't make a passkey that counts here. Use another one.",
    },
    get: {
      NotAllowedError: "No passkey was shown: it was stopped, took too long, or there is none for this page on your device. Try again.",
    },
    both: {
      SecurityError: "Passkeys don't work at this address. Open the page at its usual one.",
      AbortError: "It was stopped. Try again.",
      SyntaxError: "The page is broken. Load it again.",
      TypeError: "The page is broken. Load it again.",
    },
  };
  const RESENT_MS = 10000;
  const OTHER = "That didn't work. Try again, or use another device.";

  const available = () =>
    window.isSecureContext &&
    typeof window.PublicKeyCredential === "function" &&
    typeof PublicKeyCredential.parseCreationOptionsFromJSON === "function" &&
    typeof PublicKeyCredential.parseRequestOptionsFromJSON === "function";

  const buttons = (form) => [...form.elements].filter((one) => one.type === "submit");

  const answer = async (kind, text) => {
    const options = JSON.parse(text);
    const credential =
      kind === "create"
        ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
        : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
    return JSON.stringify(credential.toJSON());
  };

  const prepare = (form) => {
    const kind = form.dataset.passkey === "create" ? "create" : "get";
    const place = form.querySelector("[data-passkey-error]");
    const hidden = form.querySelector("input[name=passkey]");
    const say = (words) => {
      if (place) {
        place.textContent = words;
        place.hidden = words === "";
      }
    };
    const enable = (on) => buttons(form).forEach((one) => (one.disabled = !on));
    let state = "idle"; // then "asking", "answered" and "sent"

    if (place) place.setAttribute("role", "alert");
    if (!available()) {
      enable(false);
      say(NONE);
      return;
    }
    say("");
    enable(true);

    form.addEventListener("submit", async (event) => {
      if (state === "answered") {
        state = "sent"; // once: a second click would show how its answer was refused, instead of what came of the first
        setTimeout(() => (state = "idle"), RESENT_MS);
        return;
      }
      event.preventDefault();
      if (state !== "idle") return;
      state = "asking";
      say("");
      form.setAttribute("aria-busy", "true");
      try {
        hidden.value = await answer(kind, form.dataset.options);
        state = "answered";
        form.requestSubmit(event.submitter);
      } catch (error) {
        state = "idle";
        say(WHY[kind][error.name] || WHY.both[error.name] || OTHER);
      } finally {
        form.removeAttribute("aria-busy");
      }
    });

    // Whoever comes back to the page finds it as it was, and its answer is used up.
    window.addEventListener("pageshow", (event) => {
      if (event.persisted) {
        hidden.value = "";
        state = "idle";
      }
    });
  };

  const start = () => document.querySelectorAll("form[data-passkey]").forEach(prepare);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
