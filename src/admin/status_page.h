/* status_page.h - the page at "/": it reads /status.json and shows it as tables; self-contained. */
#ifndef ROOST_ADMIN_STATUS_PAGE_H
#define ROOST_ADMIN_STATUS_PAGE_H

extern const char status_page[];

#endif
