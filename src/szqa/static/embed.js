// A token in the fragment, /embed#token=…: a fragment is sent to no server and written to no log.
"use strict";
const token = new URLSearchParams(location.hash.slice(1)).get("token");
if (token) document.querySelector("szqa-chat").setAttribute("token", token);
