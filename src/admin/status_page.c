/* status_page.c - the page's text: HTML, style and script in one string, so that nothing is fetched from elsewhere. */
#include "status_page.h"

const char status_page[] =
	"<!doctype html><html lang=en><meta charset=utf-8><title>Roost</title>"
	"<style>body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}"
	"h1{font-size:1.4em}table{border-collapse:collapse;margin:0 0 1.5em}td,th{border-bottom:1px solid #ccc;"
	"padding:.2em .8em;text-align:left;vertical-align:top}th{font-weight:600}</style>"
	"<h1>Roost</h1><div id=s>Reading the status ...</div><script>"
	"function show(v){if(v===null||typeof v!='object'){const t=document.createElement('span');t.textContent=v;return t}"
	"const t=document.createElement('table');for(const k in v){const r=t.insertRow();const h=document.createElement('th');"
	"h.textContent=k;r.append(h);r.insertCell().append(show(v[k]))}return t}"
	"async function load(){try{const r=await fetch('status.json');document.getElementById('s').replaceChildren("
	"show(await r.json()))}catch(e){document.getElementById('s').textContent='No answer: '+e}}"
	"load();setInterval(load,2000)</script></html>\n";
