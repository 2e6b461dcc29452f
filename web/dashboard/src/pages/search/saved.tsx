import { Button, Group, Menu, Modal, Stack, Text, TextInput } from '@mantine/core'
import { useForm } from '@mantine/form'
import { notifications } from '@mantine/notifications'
import { IconBookmark, IconTrash } from '@tabler/icons-react'
import { useMutation, useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { useNavigate } from 'react-router'
import { api, ok } from '../../api/client'
import { useSession } from '../../api/session'
import { ProblemNote } from '../../parts/answer'
import { useSaving } from '../../parts/saving'

const page = 'search'

/** Saved lists the filters that the member has saved, and saves the one that is shown. search is the query of the page's address. */
export function Saved({ search }: { search: string }) {
  const { may } = useSession()
  const navigate = useNavigate()
  const [asked, setAsked] = useState(false)
  const list = useQuery({ queryKey: ['filters'], queryFn: async () => (await ok(api.GET('/v1/filters'))).filters.filter((f) => f.page === page), enabled: may('list-filters') })
  const remove = useMutation({
    mutationFn: (name: string) => ok(api.DELETE('/v1/filters/{name}', { params: { path: { name } } })),
    onSuccess: (_, name) => notifications.show({ message: `The filter "${name}" is deleted`, color: 'green' }),
    onError: (error) => notifications.show({ message: error.message, color: 'red' }),
  })
  if (!may('list-filters')) return null
  const query = search.replace(/^\?/, '')
  return (
    <>
      <Menu position="bottom-end" withinPortal>
        <Menu.Target>
          <Button variant="default" size="xs" leftSection={<IconBookmark size={14} aria-hidden />}>
            Saved filters
          </Button>
        </Menu.Target>
        <Menu.Dropdown miw={240}>
          <Menu.Item onClick={() => setAsked(true)} disabled={!query}>
            Save this filter
          </Menu.Item>
          <Menu.Divider />
          {list.isError && <Menu.Label>{list.error.message}</Menu.Label>}
          {list.data?.length === 0 && <Menu.Label>None yet: set a filter, then save it here.</Menu.Label>}
          {list.data?.map((f) => (
            <Group key={f.name} gap={0} wrap="nowrap">
              <Menu.Item onClick={() => void navigate(`/search?${f.query}`)} style={{ flex: 1 }}>
                <Text span size="sm" className="foreign">
                  {f.name}
                </Text>
              </Menu.Item>
              <Menu.Item w="auto" closeMenuOnClick={false} aria-label={`Delete the filter ${f.name}`} onClick={() => remove.mutate(f.name)}>
                <IconTrash size={16} />
              </Menu.Item>
            </Group>
          ))}
        </Menu.Dropdown>
      </Menu>
      <Modal opened={asked} onClose={() => setAsked(false)} title="Save this filter">
        {asked && <SaveForm query={query} taken={list.data?.map((f) => f.name) ?? []} close={() => setAsked(false)} />}
      </Modal>
    </>
  )
}

function SaveForm({ query, taken, close }: { query: string; taken: string[]; close: () => void }) {
  const form = useForm({
    initialValues: { name: '' },
    validate: { name: (name) => (!name.trim() ? 'Give it a name' : name.length > 100 ? 'A name has 100 characters at most' : null) },
  })
  const saving = useSaving(form, (v) => ok(api.PUT('/v1/filters/{name}', { params: { path: { name: v.name.trim() } }, body: { page, query } })), { done: close, said: 'The filter is saved' })
  return (
    <form onSubmit={form.onSubmit((v) => saving.mutate(v))} noValidate>
      <Stack gap="sm">
        <TextInput
          label="Name" data-autofocus required maxLength={100} {...form.getInputProps('name')}
          description={taken.includes(form.values.name.trim()) ? 'There is a filter of this name: this one takes its place' : 'Only you see it'}
        />
        <ProblemNote error={saving.error} />
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            Cancel
          </Button>
          <Button type="submit" loading={saving.isPending}>
            Save
          </Button>
        </Group>
      </Stack>
    </form>
  )
}
