import { Button, CloseButton, Group, Stack, Tabs, TextInput } from '@mantine/core'
import { IconSearch } from '@tabler/icons-react'
import { type FormEvent, useEffect, useState } from 'react'
import { useLocation } from 'react-router'
import { useSession } from '../../api/session'
import { type Filter, useFilter } from '../../parts/filter'
import { Page } from '../../parts/page'
import { Export } from './export'
import { Filters } from './filters'
import { type Kind, kindOf, type Listing, listings, narrowed } from './kinds'
import { ListPart } from './lists'
import { Results } from './results'
import { Saved } from './saved'

/** Search finds anything by one word, or lists what there is by filters. */
export default function Search() {
  const [filter, setFilter] = useFilter()
  const { may } = useSession()
  const { search } = useLocation()
  const kinds = (Object.keys(listings) as Kind[]).filter((k) => may(listings[k].needs))
  const asked = kindOf(filter)
  const kind = kinds.includes(asked) ? asked : kinds[0]
  return (
    <Page
      title="Search"
      about="A user, a ymid, a zone, any id, a URL that was received or sent, or the name of a source or an endpoint."
      actions={
        <>
          <Saved search={search} />
          {!filter.q && kind && <ExportOf kind={kind} filter={filter} />}
        </>
      }
    >
      <Box q={filter.q ?? ''} search={(q) => setFilter({ q })} />
      {filter.q ? (
        <Results q={filter.q} app={filter.app} />
      ) : (
        kind && (
          <Tabs value={kind} onChange={(k) => setFilter({ kind: k ?? '', state: '', outcome: '' })} keepMounted={false}>
            <Tabs.List mb="sm">
              {kinds.map((k) => (
                <Tabs.Tab key={k} value={k}>
                  {listings[k].title}
                </Tabs.Tab>
              ))}
            </Tabs.List>
            <Tabs.Panel value={kind}>
              <Stack gap="sm">
                <Filters key={kind} kind={kind} filter={filter} change={setFilter} />
                <ListPart key={`${kind} list`} kind={kind} filter={filter} />
              </Stack>
            </Tabs.Panel>
          </Tabs>
        )
      )}
    </Page>
  )
}

function ExportOf<K extends Kind>({ kind, filter }: { kind: K; filter: Filter }) {
  const listing: Listing<K> = listings[kind]
  return <Export kind={kind} listing={listing} filter={narrowed(filter, listing.words)} />
}

/** Box is the one box: what is typed is searched for with Enter. */
function Box({ q, search }: { q: string; search: (q: string) => void }) {
  const [text, setText] = useState(q)
  useEffect(() => setText(q), [q])
  const submit = (event: FormEvent) => {
    event.preventDefault()
    search(text.trim())
  }
  return (
    <form onSubmit={submit} role="search" aria-label="Everything">
      <Group gap="xs" wrap="nowrap" align="flex-end">
        <TextInput
          style={{ flex: 1 }} maw={720} aria-label="Search for" placeholder="User, ymid, zone, id, URL or name" value={text} maxLength={2048} leftSection={<IconSearch size={16} aria-hidden />}
          autoComplete="off" spellCheck={false} onChange={(e) => setText(e.currentTarget.value)}
          rightSection={text && <CloseButton size="sm" aria-label="Clear the search" onClick={() => { setText(''); search('') }} />}
        />
        <Button type="submit">Search</Button>
      </Group>
    </form>
  )
}
